"""The poster's ablation in miniature: the six kinds of attention, trained alike, and what each reaches.

python -m bench.ablation train --out build/ablation            # an hour and a half; goes on where it stopped
python -m bench.ablation report --out build/ablation --docs docs

Every run is one `laps-export train` of as many steps with the same recipe; only the variant and the seed differ.
Two runs of one thread each do half as much again in an hour as one run of two threads after the other.
The score is that of the run itself: clips of photographs that no run has trained on, the same clips for all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from laps_export.checkpoint.reading import read_checkpoint
from laps_export.data.camera_motion import LABELS
from laps_export.families import registry
from laps_export.families.laps.variants import PUBLISHED
from laps_export.graph.complexity import measure
from laps_export.train.run_state import CHECKPOINT_NAME
from laps_export.train.scoring import wilson
from laps_export.train.train_model import WEIGHTS_NAME

KINDS = ("base2d", "plain_shift", "p_shift", "la", "laps", "base3d")
SEEDS = {"base2d": (0, 1, 2), "laps": (0, 1, 2)}
"""Runs of each kind; one for those that are not named."""

CLIPS = 1200
EASY_SHARE = 0.3
_SCORED = CLIPS // 2  # the other half fits the temperature


@dataclass(frozen=True)
class Run:
    """One trained model's scores."""

    kind: str
    seed: int
    top1: float
    frame_top1: float
    per_class: tuple[float | None, ...]
    minutes: float
    steps: int


def plan() -> list[tuple[str, int]]:
    """Every run, first seeds first, so that an interrupted series can be compared already."""
    wanted = [(kind, seed) for kind in KINDS for seed in SEEDS.get(kind, (0,))]
    return sorted(wanted, key=lambda run: (run[1], KINDS.index(run[0])))


def folder_of(out: Path, kind: str, seed: int) -> Path:
    """Where a run lives."""
    return out / f"{kind}-{seed}"


def train(out: Path, arguments: Sequence[str], *, jobs: int) -> None:
    """Train what is not there yet, `jobs` runs at a time; an interrupted run is resumed."""
    waiting = [run for run in plan() if not (folder_of(out, *run) / WEIGHTS_NAME).exists()]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda run: _train_one(out, run, arguments), waiting))


def _train_one(out: Path, run: tuple[str, int], arguments: Sequence[str]) -> None:
    kind, seed = run
    folder = folder_of(out, kind, seed)
    resume = ["--resume"] if (folder / CHECKPOINT_NAME).exists() else []
    command = [sys.executable, "-c", "from laps_export.cli import main; main()", "train", "--output", str(folder)]
    command += ["--variant", f"{kind}_nano", "--seed", str(seed), "--final-clips", str(CLIPS), "--no-export"]
    print(f"{kind}, seed {seed}", flush=True)
    subprocess.run([*command, *resume, *arguments], check=True)


def read_runs(out: Path) -> list[Run]:
    """The runs that are finished."""
    runs = []
    for kind, seed in plan():
        weights = folder_of(out, kind, seed) / WEIGHTS_NAME
        if not weights.exists():
            continue
        notes: dict[str, Any] = dict(read_checkpoint(weights).notes)
        scores, recipe = notes["metrics"]["validation"], notes["recipe"]
        runs.append(
            Run(
                kind=kind,
                seed=seed,
                top1=scores["top1"],
                frame_top1=scores["frame_top1"],
                per_class=tuple(scores["per_class"]),
                minutes=recipe["train_seconds"] / 60,
                steps=recipe["steps_done"],
            )
        )
    return runs


def table(runs: Sequence[Run]) -> str:
    """One row a kind: what it costs, what its runs reached, and what the authors report for Kinetics-400."""
    lines = [
        "| attention | runs | top-1 of the runs | mean | per frame | 95 % interval of the mean run | GMACs"
        " | parameters (M) | poster, Kinetics-400 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        own = [run for run in runs if run.kind == kind]
        if not own:
            continue
        cost = measure(registry.build(f"{kind}_nano", classes=len(LABELS)))
        middle = mean(run.top1 for run in own)
        low, high = wilson(round(middle * _SCORED), _SCORED)
        each = ", ".join(f"{100 * run.top1:.1f}" for run in own)
        lines.append(
            f"| {kind} | {len(own)} | {each} | {100 * middle:.1f} | {100 * mean(run.frame_top1 for run in own):.1f}"
            f" | {100 * low:.1f} to {100 * high:.1f} | {cost.gmacs:.3f} | {cost.parameters_m:.2f}"
            f" | {PUBLISHED[kind].reported_top1:.2f} |"
        )
    return "\n".join(lines)


def draw(runs: Sequence[Run], path: Path) -> None:
    """Accuracy over cost, a mark a run; and beside it the poster's own figures."""
    with mpl.rc_context({"svg.hashsalt": "laps", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        here, poster = figure.subplots(1, 2)
        for number, kind in enumerate(KINDS):
            own = [run for run in runs if run.kind == kind]
            if own:
                cost = measure(registry.build(f"{kind}_nano", classes=len(LABELS))).gmacs
                here.plot([cost] * len(own), [100 * run.top1 for run in own], "o", color=f"C{number}", label=kind)
            published = PUBLISHED[kind]
            poster.plot([measure(registry.build(kind)).gmacs], [published.reported_top1], "o", color=f"C{number}")
        here.set(title="camera motion, these runs", xlabel="GMACs a view", ylabel="top-1 (%)")
        poster.set(title="Kinetics-400, as the authors report", xlabel="GMACs a view")
        here.legend(fontsize="small")
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "report"))
    parser.add_argument("--out", type=Path, default=Path("build/ablation"))
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="takes ablation.svg")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    options = parser.parse_args()
    if options.what == "train":
        # Clips grow difficult over the same share of the run as in the shipped model's.
        steps, easy = str(options.steps), str(round(options.steps * EASY_SHARE))
        arguments = ["--steps", steps, "--easy-batches", easy, "--threads", str(options.threads)]
        train(options.out, arguments, jobs=options.jobs)
        return
    runs = read_runs(options.out)
    print(table(runs))
    draw(runs, options.docs / "ablation.svg")


if __name__ == "__main__":
    main()
