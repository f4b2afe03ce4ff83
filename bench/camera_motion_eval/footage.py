"""Ask a running server about real footage and draw what it says of every frame, the model solid, its sibling dashed.

python -m bench.camera_motion_eval.footage clip.mp4 more.mp4 --docs docs/images
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
from bench.camera_motion_eval.moves import LABELS
from bench.camera_motion_eval.score import ask
from matplotlib.figure import Figure

_SHOWN = 4  # labels in a plot; more are hard to tell apart
_GAP_S = 0.6  # between two views nothing is known


def leading(answers: Sequence[dict[str, Any]]) -> list[str]:
    """The labels that lead in most frames of any of the answers."""
    counts = dict.fromkeys(LABELS, 0)
    for answer in answers:
        frames = answer["frames"]
        for row in frames["scores"]:
            counts[frames["labels"][row.index(max(row))]] += 1
    ranked = sorted(LABELS, key=lambda label: -counts[label])
    return [label for label in ranked[:_SHOWN] if counts[label]]


def runs(times: Sequence[float], values: Sequence[float]) -> list[tuple[list[float], list[float]]]:
    """A curve cut where no frame was looked at."""
    parts: list[tuple[list[float], list[float]]] = []
    for number, (time, value) in enumerate(zip(times, values, strict=True)):
        if number == 0 or time - times[number - 1] > _GAP_S:
            parts.append(([], []))
        parts[-1][0].append(time)
        parts[-1][1].append(value)
    return parts


def draw(answers: Sequence[dict[str, Any]], path: Path) -> None:
    """Per-frame scores over time: the first answer solid, the second dashed."""
    with mpl.rc_context({"svg.hashsalt": "laps", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 2.4), layout="constrained")
        axes = figure.subplots()
        for number, label in enumerate(leading(answers)):
            for answer, style in zip(answers, ("-", "--"), strict=False):
                frames = answer["frames"]
                column = frames["labels"].index(label)
                curves = runs(frames["time_s"], [row[column] for row in frames["scores"]])
                for times, scores in curves:
                    name = label if style == "-" and times is curves[0][0] else None
                    axes.plot(times, scores, style, color=f"C{number}", label=name, linewidth=1.4)
        axes.set(xlabel="seconds", ylabel="score", ylim=(-0.02, 1.02))
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--models", nargs=2, default=["camera-motion", "camera-motion-base2d"])
    parser.add_argument("--views", help="such as 5x1; the model's default if left out")
    parser.add_argument("--docs", type=Path, default=Path("docs/images"), help="takes one picture a video")
    options = parser.parse_args()
    options.docs.mkdir(parents=True, exist_ok=True)
    print("| video | model | top three |\n|---|---|---|")
    with httpx.Client(base_url=options.url, timeout=120) as client:
        for video in options.videos:
            answers = [ask(client, video, model=model, views=options.views) for model in options.models]
            for model, answer in zip(options.models, answers, strict=True):
                best = ", ".join(f"{row['label']} {row['score']:.2f}" for row in answer["predictions"][:3])
                print(f"| {video.name} | {model} | {best} |")
            draw(answers, options.docs / f"camera-motion-{video.stem.replace('_', '-')}.svg")


if __name__ == "__main__":
    main()
