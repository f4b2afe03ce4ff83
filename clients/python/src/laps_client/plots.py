"""Draws curves of scores over time; comes with the extra ``plot``.

>>> from laps_client.plots import plot                      # doctest: +SKIP
>>> plot(result).figure.savefig("scores.png")               # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from laps_client._extras import missing
from laps_client._results import Classification

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError as exc:
    raise missing(exc, package="matplotlib", extra="plot") from exc

_SIZE_INCHES = (9.0, 4.0)
_SOLID, _DASHED = "-", "--"
_COLOURS = 10  # of matplotlib's cycle
_MAX_SCORE = 1.02  # so that a line at 1 is not half hidden by the frame


def plot(
    result: Classification,
    other: Classification | None = None,
    *,
    labels: Sequence[str] | None = None,
    names: tuple[str, str] = ("", ""),
    ax: Axes | None = None,
) -> Axes:
    """Draw the scores of each label over time: curves of frames, or steps of segments.

    Args:
        result: drawn in solid lines.
        other: drawn in dashed lines, each label in the same colour, to compare the two.
        labels: which to draw; the ranked labels of both if not given.
        names: of the two results, for the legend.
        ax: where to draw; a figure of its own if not given. It belongs to no window, so that nothing needs a display.

    Raises:
        ValueError: a result has no scores over time (they were not asked for, or its model has none), or none
            of the labels.
    """
    results = [result] if other is None else [result, other]
    chosen = list(dict.fromkeys(labels or chain.from_iterable(_labels(item) for item in results)))
    axes = ax or Figure(figsize=_SIZE_INCHES, layout="constrained").subplots()
    drawn = 0
    for item, style, name in zip(results, (_SOLID, _DASHED), names, strict=False):
        for place, label in enumerate(chosen):
            if label in _labels(item):
                times_s, scores = _steps(item, label)
                legend = f"{label} ({name})" if name else label
                plain = legend.replace("$", r"\$")  # two of them would begin and end a formula
                axes.plot(times_s, scores, style, color=f"C{place % _COLOURS}", label=plain, marker=_marker(item))
                drawn += 1
    if not drawn:
        raise ValueError(f"no scores of {', '.join(chosen)}")
    axes.set_xlabel("time in s")
    axes.set_ylabel("score")
    axes.set_ylim(0, _MAX_SCORE)
    axes.legend(loc="best", fontsize="small")
    return axes


def _labels(result: Classification) -> tuple[str, ...]:
    scores = result.timeline or result.frames
    if scores is None:
        raise ValueError("no scores over time: ask for frames, or for segments")
    return scores.labels


def _steps(result: Classification, label: str) -> tuple[list[float], list[float]]:
    """A frame is a point, a segment a level from its start to its end; gaps between segments stay empty."""
    if result.timeline is None:
        return (list(result.frames.time_s), list(result.frames.curve(label))) if result.frames is not None else ([], [])
    times_s: list[float] = []
    scores: list[float] = []
    timeline = result.timeline
    for start_s, end_s, score in zip(timeline.start_s, timeline.end_s, timeline.curve(label), strict=True):
        if times_s and start_s > times_s[-1]:
            times_s.append(start_s)
            scores.append(float("nan"))
        times_s += [start_s, end_s]
        scores += [score, score]
    return times_s, scores


def _marker(result: Classification) -> str | None:
    """One point alone makes no line."""
    return "o" if result.timeline is None and result.frames is not None and len(result.frames.time_s) == 1 else None
