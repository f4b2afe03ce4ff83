"""Bodies as the server answers them, with every field that there is."""

from __future__ import annotations

from typing import Any

from laps_client import ModelInfo
from laps_client._parsing import from_json

BOX = {"x": 0, "y": 1, "width": 2, "height": 3}
BODY: dict[str, Any] = {
    "request_id": "r",
    "model": {"name": "m", "version": 1, "engine": "openvino", "precision": "bfloat16"},
    "predictions": [{"label": "a", "index": 1, "score": 0.75}, {"label": "b", "index": 0, "score": 0.25}],
    "frames": {
        "kind": "step",
        "index": [0, None],
        "time_s": [0, 0.5],
        "from_s": [0.0, 0.25],
        "to_s": [0.0, 0.75],
        "labels": ["a", "b"],
        "scores": [[1, 0], [0.5, 0.5]],
    },
    "views": {"temporal": 1, "spatial": 1, "used": 1, "sampling": "uniform_in_order"},
    "video": {
        "container": "mp4",
        "codec": "h264",
        "width": 64,
        "height": 48,
        "fps": None,
        "duration_s": 2,
        "frame_count": None,
        "rotation": 0,
        "sample_aspect_ratio": None,
        "stream_index": 1,
    },
    "timings_ms": {"upload": 1.0, "decode": 2.0, "queue": 3.0, "infer": 4.0, "total": 10.0},
    "warnings": ["w"],
    "thumbnails": [{"index": None, "time_s": 0.0, "jpeg": "/9g="}],
    "view_details": [{"temporal": 0, "spatial": 0, "frames": [{"index": 0, "pts": 0, "time_s": 0.0, "box": BOX}]}],
    "segments": [
        {
            "index": 0,
            "start_s": 0.0,
            "end_s": 2.0,
            "predictions": [{"label": "a", "index": 1, "score": 0.5}],
            "frames": None,
            "views": {"temporal": 1, "spatial": 1, "used": 1, "sampling": "uniform_in_order"},
            "thumbnails": None,
            "warnings": [],
            "agreement": 1.0,
            "margin": 0.25,
            "embedding": [0.0, 1.0],
        }
    ],
    "timeline": {"labels": ["a"], "start_s": [0.0], "end_s": [2.0], "scores": [[0.5]]},
    "agreement": 0.8,
    "margin": 0.5,
    "embedding": [0.6, 0.8],
}

LIMITS = {
    "max_upload_bytes": 1,
    "max_pixels": 1,
    "max_temporal_views": 1,
    "spatial_views": [1],
    "max_requests": 1,
    "upload_idle_timeout_ms": 1,
    "default_deadline_ms": 1,
    "max_deadline_ms": 1,
}


def model(**changes: Any) -> ModelInfo:
    body = {
        "name": "m",
        "versions": [1],
        "default": True,
        "family": "laps",
        "variant": "laps",
        "labels": "set",
        "label_count": 6,
        "default_views": "5x3",
        "untrained": False,
        "version": 1,
        "label_names": ["a", "b", "c", "d", "e", "f\x1b"],
        "input": {
            "frames": 8,
            "stride": 8,
            "height": 1,
            "width": 1,
            "short_side": 1,
            "sampling": "s",
            "interpolation": "i",
        },
        "output": "per_frame",
        "activation": "softmax",
        "temperature": 1,
        "precisions": {},
        "metrics": {"top1": 40.0, "top5": 0.999},
        "provenance": {},
        "limits": LIMITS,
    }
    return from_json(ModelInfo, body | changes)
