"""laps.json: what a server must know about one version of a model and cannot derive."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Literal, get_args

from laps_export import __version__
from laps_export.checkpoint.reading import Checkpoint
from laps_export.errors import ConfigError
from laps_export.families.laps.config import LapsConfig
from laps_export.families.normalise import MEAN, STD
from laps_export.graph.complexity import Complexity
from laps_export.graph.onnx_export import INPUT_NAME, OPSET, OUTPUT_NAME
from laps_export.graph.parity import Parity
from laps_export.repository.label_set import LabelSet

FILE_NAME = "laps.json"
GRAPH_NAME = "model.onnx"
SCHEMA_VERSION = 2

SamplingRule = Literal["laps_uniform", "uniform_in_order"]
MAX_TEMPORAL_VIEWS = 64
SPATIAL_VIEWS = (1, 3)
MAX_STRIDE = 1024
MIN_TEMPERATURE = 0.001
MAX_TEMPERATURE = 1000.0
"""What the server accepts; tests/contract/test_manifest.py compares."""

_VIEWS = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")
_TOOLS = ("torch", "onnx", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a model wants to be served; checked at construction.

    Attributes:
        default_views: temporal x spatial views of a video where a request says nothing.
        stride: frames of the video from one sampled frame to the next.
        temperature: logits are divided by it before the softmax.
        sampling: rule by which clips are placed in a video's time; a trained model wants the one that it was trained
            and scored with.
    """

    default_views: str = "5x3"
    stride: int = 8
    temperature: float = 1.0
    sampling: SamplingRule = "laps_uniform"

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values no server can follow."""
        if not _views_can_be_taken(self.default_views):
            raise ConfigError(
                f"default views {self.default_views[:40]!r}",
                code="invalid_views",
                hint=f"temporal x spatial, 1 to {MAX_TEMPORAL_VIEWS} clips and 1 or 3 crops, such as 5x3 or 1x1",
            )
        if not 1 <= self.stride <= MAX_STRIDE:
            raise ConfigError(f"stride {self.stride}", code="invalid_stride", hint=f"1 to {MAX_STRIDE}")
        if not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            raise ConfigError(
                f"temperature {self.temperature}",
                code="invalid_temperature",
                hint=f"a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}",
            )
        if self.sampling not in get_args(SamplingRule):
            raise ConfigError(
                f"sampling {self.sampling!r}",
                code="invalid_sampling",
                hint=f"one of {', '.join(get_args(SamplingRule))}",
            )


def _views_can_be_taken(text: str) -> bool:
    match = _VIEWS.fullmatch(text)
    return match is not None and 1 <= int(match[1]) <= MAX_TEMPORAL_VIEWS and int(match[2]) in SPATIAL_VIEWS


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model's weights come from.

    Attributes:
        checkpoint: the file, or None where all weights are random.
        untrained: some weights are random, so the answers mean nothing.
        seed: of the random weights.
        metrics: what training measured.
        recipe: how it was trained.
    """

    checkpoint: Checkpoint | None
    untrained: bool = False
    seed: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


def build_manifest(
    *,
    name: str,
    variant: str,
    config: LapsConfig,
    labels: LabelSet,
    serving: Serving,
    origin: Origin,
    complexity: Complexity,
    parity: Parity,
    graph_sha256: str,
) -> dict[str, Any]:
    """The manifest as JSON-able data."""
    size = config.resolution
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "family": "laps",
        "variant": variant,
        "output": {"name": OUTPUT_NAME, "kind": "per_frame"},
        "inputs": [
            {
                "name": INPUT_NAME,
                "dtype": "uint8",
                "layout": "BTHWC",
                "frames": config.frames,
                "height": size,
                "width": size,
                "stride": serving.stride,
            }
        ],
        "sampling": serving.sampling,
        "preprocess": {
            "short_side": size,
            "crop_height": size,
            "crop_width": size,
            "interpolation": "bilinear",
            "mean": list(MEAN),
            "std": list(STD),
        },
        "activation": "softmax",
        "temperature": serving.temperature,
        "default_views": serving.default_views,
        "labels": {"name": labels.name, "count": len(labels), "sha256": labels.sha256},
        "precisions": {"float32": {"file": GRAPH_NAME, "parity": asdict(parity)}},
        "opset": OPSET,
        "files": {GRAPH_NAME: graph_sha256},
        "untrained": origin.untrained,
        "provenance": _provenance(origin, complexity),
    }


def to_bytes(manifest: Mapping[str, Any]) -> bytes:
    """The file's content; NaN is no JSON and is refused with ValueError.

    File names need not be UTF-8, JSON must be: what cannot be written becomes a question mark.
    """
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="replace")


def _provenance(origin: Origin, complexity: Complexity) -> dict[str, Any]:
    checkpoint = origin.checkpoint
    return {
        "exporter": f"laps-export {__version__}",
        "checkpoint": None
        if checkpoint is None
        else {
            "file": checkpoint.path.name,
            "sha256": checkpoint.sha256,
            "format": checkpoint.source.value,
            "epoch": checkpoint.epoch,
            "best_acc1": checkpoint.best_acc1,
        },
        "random_seed": origin.seed,
        "metrics": dict(origin.metrics),
        "recipe": dict(origin.recipe),
        "gmacs": round(complexity.gmacs, 3),
        "parameters_m": round(complexity.parameters_m, 3),
        "tools": {tool: version(tool) for tool in _TOOLS},
    }
