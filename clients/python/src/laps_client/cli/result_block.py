"""One file's result as a block for a terminal: label, score, bar, and a sparkline of scores over time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from laps_client._outcome import FilePath, Outcome
from laps_client._results import Classification, SegmentAnswer
from laps_client.cli.terminal_text import bar, clock, printable, sparkline

# The page's doubt.js has the same numbers and words.
_MOST_AGREE = 2 / 3  # of the views; fewer make an answer doubtful
_CLOSE = 0.1  # margins below it make one doubtful
_FAR_AHEAD = 0.5  # from this margin on the first label has more than all others together
_ROUNDING = 1e-6

_BAR_WIDTH = 20
_SPARK_WIDTH = 40
_MS = 1000


def result_block(outcome: Outcome[FilePath], *, ascii_only: bool = False) -> RenderableType:
    """The block of a file with a result."""
    result = outcome.unwrap()
    parts: list[RenderableType] = [_title(os.fspath(outcome.path), result), _predictions(result, ascii_only=ascii_only)]
    if (words := doubt(result)) is not None:
        parts.append(Text(f"  {words}", style="dim"))
    if result.segments:
        parts.append(_segments(result.segments, ascii_only=ascii_only))
    return Group(*parts)


def facts(result: Classification) -> str:
    """The video's facts and the model that ran, in one line."""
    video = result.video
    length = "" if video.duration_s is None else f"{video.duration_s:.1f} s, "
    views = f"{result.views.temporal}x{result.views.spatial}"
    model = f"{result.model.name} {result.model.version}"
    seconds = result.timings_ms.total / _MS
    return printable(f"{length}{video.codec} {video.width}x{video.height}, {model} at {views}, {seconds:.1f} s")


def doubt(result: Classification) -> str | None:
    """How far to trust the first label, in words; None where there is nothing to say, or the server does not tell.

    ``all 6 views agree; far ahead of the next label`` or ``in doubt: 3 of 6 views agree; the next label is close``
    """
    if result.agreement is None or result.margin is None:
        return None
    used = result.views.used
    agreeing = round(result.agreement * used)
    few = agreeing < _MOST_AGREE * used
    # With one label ranked nothing is behind it. Among several, all the score may be the first one's too.
    alone = len(result.predictions) == 1 and result.margin == result.top.score
    # Two labels that add up to more than 1 are no rivals: the model scores each label for itself.
    rivals = 2 * result.top.score - result.margin <= 1 + _ROUNDING
    close = not alone and result.margin < _CLOSE
    parts = [*([] if used == 1 else [_agreement(agreeing, used)]), *([] if alone else [_lead(result.margin)])]
    return f"{'in doubt: ' if few or (close and rivals) else ''}{'; '.join(parts)}" if parts else None


def runs(segments: Sequence[SegmentAnswer]) -> list[tuple[float, float, str, float]]:
    """Neighbours of the same best label as one: start, end, label, mean score of it.

    A gap in the video, which has no segment, ends a run.
    """
    found = []
    ends = [None, *(segment.end_s for segment in segments)]
    breaks = 0
    keys = []
    for segment, before in zip(segments, ends, strict=False):
        breaks += before is not None and segment.start_s > before
        keys.append((segment.top.label, breaks))
    for (label, _), group in groupby(zip(keys, segments, strict=True), key=lambda pair: pair[0]):
        members = [segment for _, segment in group]
        mean = sum(member.top.score for member in members) / len(members)
        found.append((members[0].start_s, members[-1].end_s, label, mean))
    return found


def _agreement(agreeing: int, used: int) -> str:
    if agreeing == used:
        return f"all {used} views agree"
    if agreeing < 2:
        return f"{agreeing or 'none'} of {used} views agrees"
    return f"{agreeing} of {used} views agree"


def _lead(margin: float) -> str:
    if margin < _CLOSE:
        return "the next label is close"
    return "far ahead of the next label" if margin >= _FAR_AHEAD else "ahead of the next label"


def _title(path: str, result: Classification) -> Text:
    return Text.assemble((printable(path), "bold"), "  ", (facts(result), "dim"))


def _predictions(result: Classification, *, ascii_only: bool) -> Table:
    scores = result.timeline or result.frames
    top = max((score for row in scores.scores for score in row), default=0.0) if scores is not None else 0.0
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for prediction in result.predictions:
        shown = scores is not None and prediction.label in scores.labels
        curve = scores.curve(prediction.label) if scores is not None and shown else ()
        table.add_row(
            Text(f"  {printable(prediction.label)}"),
            f"{prediction.score:.3f}",
            Text(bar(prediction.score, _BAR_WIDTH, ascii_only=ascii_only), style="cyan"),
            Text(sparkline(curve, width=_SPARK_WIDTH, top=top, ascii_only=ascii_only), style="green"),
        )
    return table


def _segments(segments: Sequence[SegmentAnswer], *, ascii_only: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for start_s, end_s, label, score in runs(segments):
        table.add_row(
            Text(f"  {clock(start_s)} to {clock(end_s)}", style="dim"),
            Text(printable(label)),
            f"{score:.3f}",
            Text(bar(score, _BAR_WIDTH, ascii_only=ascii_only), style="cyan"),
        )
    return table
