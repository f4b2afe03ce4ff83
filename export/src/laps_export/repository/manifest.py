"""laps.json: what a server must know about one version of a model and cannot derive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from laps_export import __version__
from laps_export.families.family import MAX_BATCH, OutputKind, ResizeAndCrop, VideoModel
from laps_export.graph.tensor_contract import EMBEDDING_NAME, INPUT_NAME, OPSET, OUTPUT_NAME, TensorContract
from laps_export.repository.entry import GRAPH_NAME
from laps_export.repository.label_set import LabelSet

if TYPE_CHECKING:  # they know torch, which the entries of packaged models do without
    from laps_export.checkpoint.checkpoint import Checkpoint
    from laps_export.graph.complexity import Complexity
    from laps_export.graph.parity import ParityReport
    from laps_export.repository.serving import Serving

SCHEMA_VERSION = 2

_TOOLS = ("torch", "onnx", "onnxruntime")

EngineName = Literal["ort", "openvino"]


@dataclass(frozen=True, kw_only=True)
class EngineParity:
    """What one engine answered with a quantised graph on one instruction set, beside float32.

    docs/manifest.md has the meaning of each figure.
    """

    engine: EngineName
    instruction_set: str
    views: int
    labels: int
    agreement: float
    mean_shift: float
    p99_shift: float
    holds: bool


@dataclass(frozen=True, kw_only=True)
class WeightOrigin:
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
    model: VideoModel,
    labels: LabelSet,
    serving: Serving,
    origin: WeightOrigin,
    complexity: Complexity,
    parity: ParityReport,
    graph_sha256: str,
) -> dict[str, Any]:
    """The manifest as JSON-able data."""
    family, contract = model.family, TensorContract.of(model)
    steps = {} if family.steps is None else {"steps": [list(step) for step in family.steps(model.config)]}
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "family": family.name,
        "variant": model.variant,
        "output": {"name": OUTPUT_NAME, "kind": family.output.value, **steps},
        **({} if model.embedding is None else {"embedding": {"name": EMBEDDING_NAME, "size": model.embedding}}),
        "inputs": [
            {
                "name": INPUT_NAME,
                "dtype": "uint8",
                "layout": "BTHWC",
                "frames": contract.frames,
                "height": contract.height,
                "width": contract.width,
                "stride": serving.stride,
            }
        ],
        "sampling": serving.sampling,
        "preprocess": {
            "short_side": family.short_side(model.config),
            "crop_height": contract.height,
            "crop_width": contract.width,
            "interpolation": family.resize_and_crop.interpolation,
            "mean": list(family.pixels.mean),
            "std": list(family.pixels.std),
            **_unusual(family.resize_and_crop),
        },
        "activation": "softmax",
        **({} if family.average == "logits" else {"average": family.average}),
        "temperature": serving.temperature,
        **({} if model.max_batch >= MAX_BATCH else {"max_batch": model.max_batch}),
        "default_views": serving.default_views,
        "cost": cost_entry(gmacs=complexity.gmacs, parameters_m=complexity.parameters_m),
        "labels": {"name": labels.name, "count": len(labels), "sha256": labels.sha256},
        "precisions": {"float32": {"file": GRAPH_NAME, "parity": asdict(parity)}},
        "opset": OPSET,
        "files": {GRAPH_NAME: graph_sha256},
        "untrained": origin.untrained,
        "provenance": _provenance(origin),
    }


@dataclass(frozen=True, kw_only=True)
class AddedPrecision:
    """A graph in another precision beside the float32 one.

    Attributes:
        name: as `int8`.
        file: in the version's folder.
        sha256: of that file.
        max_abs_diff: its logits' largest difference from float32's; no tolerance, since scores are held instead.
        batch_sizes: that were run.
        engines: how each engine fared with it.
    """

    name: str
    file: str
    sha256: str
    max_abs_diff: float
    batch_sizes: tuple[int, ...]
    engines: Sequence[EngineParity]


def with_precision(manifest: Mapping[str, Any], added: AddedPrecision) -> dict[str, Any]:
    """The manifest with one more precision, in the place of what it had under that name."""
    parity = {"max_abs_diff": added.max_abs_diff, "tolerance": None, "batch_sizes": list(added.batch_sizes)}
    entry = {"file": added.file, "parity": parity, "engines": [asdict(record) for record in added.engines]}
    return {
        **manifest,
        "schema_version": SCHEMA_VERSION,
        "precisions": {**manifest["precisions"], added.name: entry},
        "files": {**manifest["files"], added.file: added.sha256},
    }


def cost_entry(*, gmacs: float, parameters_m: float) -> dict[str, float]:
    """What a manifest says of a model's cost: 1e9 multiply-adds of one view and 1e6 learned numbers."""
    return {"gmacs": round(gmacs, 3), "parameters_m": round(parameters_m, 3)}


def read_contract(manifest: Mapping[str, Any]) -> TensorContract:
    """The tensor contract of the graph that a manifest describes.

    Raises:
        KeyError, IndexError, TypeError: it is no manifest of ours.
    """
    first, output, embedding = manifest["inputs"][0], manifest["output"], manifest.get("embedding")
    rows = {OutputKind.PER_FRAME: first["frames"], OutputKind.PER_STEP: len(output.get("steps") or ())}
    return TensorContract(
        frames=first["frames"],
        height=first["height"],
        width=first["width"],
        classes=manifest["labels"]["count"],
        steps=rows.get(output["kind"]),
        embedding=None if embedding is None else embedding["size"],
    )


def to_bytes(manifest: Mapping[str, Any]) -> bytes:
    """The file's content; NaN is no JSON and is refused with ValueError.

    File names need not be UTF-8, JSON must be: what cannot be written becomes a question mark.
    """
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="replace")


def _unusual(rules: ResizeAndCrop) -> dict[str, str]:
    """What differs from what a manifest means that does not say it."""
    usual, ours = asdict(ResizeAndCrop()), asdict(rules)
    return {name: value for name, value in ours.items() if name != "interpolation" and value != usual[name]}


def _provenance(origin: WeightOrigin) -> dict[str, Any]:
    checkpoint = origin.checkpoint
    return {
        "exporter": f"laps-export {__version__}",
        "checkpoint": None
        if checkpoint is None
        else {
            "file": checkpoint.path.name,
            "sha256": checkpoint.sha256,
            "format": checkpoint.form.value,
            "epoch": checkpoint.epoch,
            "best_acc1": checkpoint.best_acc1,
        },
        "random_seed": origin.seed,
        "metrics": dict(origin.metrics),
        "recipe": dict(origin.recipe),
        "tools": {tool: version(tool) for tool in _TOOLS},
    }
