"""Draw training logs as one SVG: loss on the left, validation top-1 on the right, over minutes.

python bench/plot_training.py RUN/log.jsonl [MORE...] --out training.svg
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 460, 300, 46
_COLOURS = ("#1b6ca8", "#c8553d", "#2a9d5c", "#8a4fbf", "#b58900", "#444444")


@dataclass(frozen=True)
class Curve:
    """One line of a panel: minutes and values."""

    name: str
    points: tuple[tuple[float, float], ...]


def read(path: Path, event: str, key: str) -> Curve:
    """One quantity of a log."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    points = tuple((row["elapsed_s"] / 60, float(row[key])) for row in rows if row["event"] == event)
    return Curve(path.parent.name, points)


def panel(curves: list[Curve], *, title: str, left: int, low: float, high: float) -> list[str]:
    """SVG elements of one panel whose y axis runs from `low` to `high`."""
    longest = max((point[0] for curve in curves for point in curve.points), default=1.0) or 1.0
    inner_width, inner_height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(minute: float, value: float) -> str:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return f"{left + _MARGIN + inner_width * minute / longest:.1f},{_HEIGHT - _MARGIN - inner_height * share:.1f}"

    shapes = [f'<text x="{left + _MARGIN}" y="24" font-weight="bold">{title}</text>']
    for step in range(5):
        value = low + (high - low) * step / 4
        x, y = place(0, value).split(",")
        shapes.append(f'<line x1="{x}" y1="{y}" x2="{left + _WIDTH - _MARGIN}" y2="{y}" stroke="#ddd"/>')
        shapes.append(f'<text x="{float(x) - 6}" y="{float(y) + 4}" text-anchor="end">{value:.2g}</text>')
        minute = longest * step / 4
        x, _ = place(minute, low).split(",")
        shapes.append(f'<text x="{x}" y="{_HEIGHT - _MARGIN + 18}" text-anchor="middle">{minute:.0f} min</text>')
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(place(*point) for point in curve.points)
        shapes.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        where = f'x="{left + _WIDTH - _MARGIN}" y="{44 + 15 * number}" text-anchor="end" fill="{colour}"'
        shapes.append(f"<text {where}>{curve.name}</text>")
    return shapes


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    losses = [read(path, "train", "loss") for path in options.logs]
    scores = [read(path, "validation", "top1") for path in options.logs]
    highest = max((point[1] for curve in losses for point in curve.points), default=1.0)
    shapes = panel(losses, title="loss", left=0, low=0.0, high=highest)
    shapes += panel(scores, title="validation top-1", left=_WIDTH, low=0.0, high=1.0)
    options.out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * _WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        + '<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )
    print(f"{options.out}: {len(options.logs)} runs")


if __name__ == "__main__":
    main()
