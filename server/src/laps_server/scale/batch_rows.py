"""The rows of a batch job: one for a video, or for each of its segments, in columns that keep their names.

Values are those of ``POST /classify``'s body, from which they are taken, so that the two cannot disagree. A video that
could not be classified is one row too, with an error and without an answer. docs/batch.md describes every column.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from laps_server.api.responses import classify_response
from laps_server.errors import LapsError
from laps_server.events import Classification

SCHEMA_VERSION = 1
"""Goes up where a column's name, type or meaning changes; a new column at the end leaves it as it is."""

_TEXTS = pa.list_(pa.string())
_NUMBERS = pa.list_(pa.float64())
_PREDICTIONS = pa.list_(pa.struct([("label", pa.string()), ("index", pa.int32()), ("score", pa.float64())]))
_FRAMES = pa.struct(
    [
        ("kind", pa.string()),
        ("index", pa.list_(pa.int64())),
        ("time_s", _NUMBERS),
        ("from_s", _NUMBERS),
        ("to_s", _NUMBERS),
        ("labels", _TEXTS),
        ("scores", pa.list_(_NUMBERS)),
    ]
)
_VIEWS = pa.struct([("temporal", pa.int32()), ("spatial", pa.int32()), ("used", pa.int32()), ("sampling", pa.string())])
_VIDEO = pa.struct(
    [
        ("container", pa.string()),
        ("codec", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float64()),
        ("duration_s", pa.float64()),
        ("frame_count", pa.int64()),
        ("rotation", pa.int32()),
        ("sample_aspect_ratio", pa.string()),
        ("stream_index", pa.int32()),
    ]
)
_TIMINGS = pa.struct([(name, pa.float64()) for name in ("upload", "decode", "queue", "infer", "total")])

SCHEMA = pa.schema(
    [
        ("schema_version", pa.int16()),
        ("path", pa.string()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("error_hint", pa.string()),
        ("segment", pa.int32()),
        ("segments", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("model", pa.string()),
        ("version", pa.int32()),
        ("engine", pa.string()),
        ("precision", pa.string()),
        ("predictions", _PREDICTIONS),
        ("agreement", pa.float64()),
        ("margin", pa.float64()),
        ("frames", _FRAMES),
        ("embedding", pa.list_(pa.float32())),
        ("views", _VIEWS),
        ("video", _VIDEO),
        ("timings_ms", _TIMINGS),
        ("warnings", _TEXTS),
    ]
)

# Fields of the body, and of each segment in it, that are columns under the same names.
_ANSWERED = ("predictions", "agreement", "margin", "frames", "embedding", "views")
_OF_A_SEGMENT = ("start_s", "end_s", *_ANSWERED)


def rows_of(path: str, answer: Classification | LapsError, seconds: float) -> list[dict[str, Any]]:
    """The rows of one video, which took ``seconds``; there is at least one."""
    if isinstance(answer, LapsError):
        return [error_row(path, answer)]
    body = classify_response(answer, request_id="", total_s=seconds).model_dump()
    whole = {
        "schema_version": SCHEMA_VERSION,
        "path": path,
        "model": body["model"]["name"],
        "version": body["model"]["version"],
        "engine": body["model"]["engine"],
        "precision": body["model"]["precision"],
        "video": body["video"],
        "timings_ms": body["timings_ms"],
        "warnings": body["warnings"],
    }
    if body["segments"] is None:
        return [whole | {name: body[name] for name in _ANSWERED}]
    return [
        whole
        | {name: segment[name] for name in _OF_A_SEGMENT}
        | {
            "segment": segment["index"],
            "segments": len(body["segments"]),
            "warnings": [*body["warnings"], *segment["warnings"]],
        }
        for segment in body["segments"]
    ]


def error_row(path: str, error: LapsError) -> dict[str, Any]:
    """The row of a video that could not be classified."""
    return {
        "schema_version": SCHEMA_VERSION,
        "path": path,
        "error_code": error.code,
        "error_message": error.message,
        "error_hint": error.hint,
    }


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as Arrow has them; what a row lacks is null."""
    return pa.Table.from_pylist(rows, schema=SCHEMA)
