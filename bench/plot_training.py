"""Draw training logs: loss on the left, validation top-1 on the right, over minutes.

python bench/plot_training.py RUN/log.jsonl [MORE...] --out training.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def read(path: Path, event: str, key: str) -> tuple[list[float], list[float]]:
    """Minutes and values of one quantity of a log."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["event"] == event]
    return [row["elapsed_s"] / 60 for row in rows], [float(row[key]) for row in rows]


def draw(logs: list[Path]) -> Figure:
    """One curve a log, named after its folder."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for path in logs:
        losses.plot(*read(path, "train", "loss"), label=path.parent.name, linewidth=1)
        scores.plot(*read(path, "validation", "top1"), label=path.parent.name, marker=".")
    losses.set(title="loss", xlabel="minutes")
    scores.set(title="validation top-1", xlabel="minutes", ylim=(0, 1))
    scores.legend(fontsize="small")
    return figure


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw(options.logs).savefig(options.out, metadata={"Date": None} if options.out.suffix == ".svg" else None)
    print(f"{options.out}: {len(options.logs)} runs")


if __name__ == "__main__":
    main()
