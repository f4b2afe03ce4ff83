"""Results as pandas tables; comes with the extra ``pandas`` and is imported by the results' own methods alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laps_client._extras import missing

try:
    import pandas as pd
except ModuleNotFoundError as exc:
    raise missing(exc, package="pandas", extra="pandas") from exc

if TYPE_CHECKING:
    from laps_client._results import Classification, FrameScores, Timeline


def predictions_table(result: Classification) -> pd.DataFrame:
    """A row a prediction, best first."""
    rows = [(prediction.label, prediction.index, prediction.score) for prediction in result.predictions]
    return pd.DataFrame(rows, columns=["label", "index", "score"])


def frame_scores_table(frames: FrameScores) -> pd.DataFrame:
    """A row a frame, by ``time_s``; a column a label."""
    return pd.DataFrame(
        list(frames.scores),
        index=pd.Index(frames.time_s, name="time_s", dtype=float),
        columns=pd.Index(frames.labels, name="label"),
        dtype=float,
    )


def timeline_table(timeline: Timeline) -> pd.DataFrame:
    """A row a segment, by its interval of time; a column a label."""
    return pd.DataFrame(
        list(timeline.scores),
        index=pd.IntervalIndex.from_arrays(timeline.start_s, timeline.end_s, closed="left", name="time_s"),
        columns=pd.Index(timeline.labels, name="label"),
        dtype=float,
    )
