"""A run as the documentation shows it: ``python -m bench.report`` writes its table and plots into docs/.

What lies in bench/results is the latest run's; docs/performance.md has the table between two marks.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from bench.figures import Figure, cpu, default_engine, figures, median
from bench.measured import MemoryRun, ModelRun, Run
from bench.servers import ROOT
from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Plot

from bench import measured

RESULTS = ROOT / "bench" / "results" / "latest.json"
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
COSTS, MEMORY = "performance-cost.svg", "performance-memory.svg"
OURS, THEIRS, BARE = "#2b6cb0", "#a0aec0", "#4a5568"


def number(value: float) -> str:
    """Two digits behind the point; a dash where nothing could be measured."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def markdown(run: Run) -> str:
    """The machine, the table of figures, and what each server and engine costs."""
    lines = [
        f"Measured {run.began[:10]} on {run.machine.line}. {run.machine.system}; "
        + ", ".join(f"{name} {version}" for name, version in run.machine.packages.items())
        + ".",
        "",
        "| figure | of | processor | wall | must be | | how |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(figure) for figure in figures(run)),
        "",
        "| processor seconds a clip over this server's | " + " | ".join(model.name for model in run.models) + " |",
        "| --- |" + " --- |" * len(run.models),
        *_costs(run.models),
        "",
        f"![What a clip costs, over this server's](images/{COSTS})",
    ]
    if run.memory:
        lines += ["", *_memory(run.memory), "", f"![What uploads take of memory](images/{MEMORY})"]
    lines += ["", *(f"- {note}" for note in _notes(run))]
    return "\n".join(lines).strip() + "\n"


def _row(figure: Figure) -> str:
    reached = "reached" if figure.reached else "**short**"
    values = f"{number(figure.value)} | {number(figure.wall_value)} | {figure.sense} {number(figure.limit)}"
    return f"| {figure.title} | {figure.subject} | {values} | {reached} | {figure.how} |"


def _memory(runs: list[MemoryRun]) -> list[str]:
    """MiB above what is resident when the engine is ready."""
    uploads = sorted(runs[0].peak_bytes)
    return [
        "| MiB above the ready server, at uploads at once | " + " | ".join(map(str, uploads)) + " |",
        "| --- |" + " --- |" * len(uploads),
        *(
            f"| videos of {run.seconds} s | "
            + " | ".join(f"{(run.peak_bytes[count] - run.ready_bytes) / 2**20:.0f}" for count in uploads)
            + " |"
            for run in runs
        ),
    ]


def relative_costs(model: ModelRun) -> dict[str, float]:
    """Processor seconds a clip over those of our server at its defaults: servers, engines alone, decoding alone."""
    unit = median(model.ours, cpu)
    costs = {f"{peer.name} ({peer.setting})": peer.rounds for peer in model.peers if peer.rounds}
    costs["this server, ONNX Runtime float32"] = model.ours_float32
    costs["this server"] = model.ours
    costs |= {f"bare views, {engine.name}": engine.rounds for engine in model.engines}
    costs["bare selective decode"] = model.decode
    return {name: median(rounds, cpu) / unit for name, rounds in costs.items()}


def _costs(models: list[ModelRun]) -> list[str]:
    """Rows of relative costs by what costs them; a peer's setting differs from model to model and is left out."""
    columns = [{name.partition(" (")[0]: cost for name, cost in relative_costs(model).items()} for model in models]
    names = dict.fromkeys(name for column in columns for name in column)
    return [
        f"| {name} | " + " | ".join(number(column.get(name, math.nan)) for column in columns) + " |" for name in names
    ]


def _notes(run: Run) -> list[str]:
    notes = list(run.notes)
    for model in run.models:
        for peer in model.peers:
            what = f"not timed: {peer.refused}" if peer.refused else f"at its best with {peer.setting}"
            notes.append(f"{model.name}, {peer.name}: {what}")
        for engine in model.engines:
            if engine.why_not is not None:
                notes.append(f"{model.name}, {engine.name}: not for the server to choose: {engine.why_not}")
    return notes


def write_plots(run: Run, folder: Path) -> None:
    """What a clip costs, and what uploads take."""
    folder.mkdir(parents=True, exist_ok=True)
    if run.models:
        _plot_costs(run.models, folder / COSTS)
    if run.memory:
        _plot_memory(run.memory, folder / MEMORY)


def _plot_costs(models: list[ModelRun], path: Path) -> None:
    figure, all_axes = plt.subplots(len(models), 1, figsize=(8, 1 + 2.4 * len(models)), squeeze=False)
    for axes, model in zip(all_axes[:, 0], models, strict=True):
        costs = relative_costs(model)
        engine = default_engine(model)
        kept = [
            name
            for name in costs
            if not name.startswith("bare views") or (engine is not None and name.endswith(engine.name))
        ]
        colours = [OURS if name.startswith("this") else BARE if name.startswith("bare") else THEIRS for name in kept]
        axes.barh(kept, [costs[name] for name in kept], color=colours)
        axes.invert_yaxis()
        axes.axvline(1, color=OURS, linewidth=0.8)
        axes.set_title(f"{model.name}, {model.views} views by {model.default_engine}", fontsize=10)
        axes.tick_params(labelsize=8)
    all_axes[-1, 0].set_xlabel("processor seconds a clip, over this server's")
    _save(figure, path)


def _plot_memory(runs: list[MemoryRun], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.5))
    for run in runs:
        uploads = sorted(run.peak_bytes)
        above = [(run.peak_bytes[count] - run.ready_bytes) / run.ready_bytes for count in uploads]
        axes.plot(uploads, above, marker="o", label=f"videos of {run.seconds} s")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("uploads at once")
    axes.set_ylabel("memory above the ready server's,\nover the ready server's")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Plot, path: Path) -> None:
    figure.tight_layout()
    with mpl.rc_context({"svg.hashsalt": "bench"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def fill(page: str, table: str) -> str:
    """The page with ``table`` between its marks.

    Raises:
        ValueError: the marks are not there, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs {BEGIN} and {END}, once each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write table and plots of a run into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    run = measured.read(parser.parse_args().results)
    PAGE.write_text(fill(PAGE.read_text(), markdown(run)))
    write_plots(run, IMAGES)


if __name__ == "__main__":
    main()
