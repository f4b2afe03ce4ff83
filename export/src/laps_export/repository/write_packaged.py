"""Write a packaged model's entry into a model_repository: all of it or nothing, and nothing twice."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import onnx

from laps_export import __version__
from laps_export.errors import GraphError, RepositoryError
from laps_export.families.family import OutputKind
from laps_export.families.packaged_model import PackagedModel
from laps_export.graph.convolution_cost import count_gmacs
from laps_export.graph.tensor_contract import EMBEDDING_NAME, INPUT_NAME, OPSET, OUTPUT_NAME, TensorContract, check_onnx
from laps_export.progress import OnProgress, ignore
from laps_export.repository.entry import GRAPH_NAME, MANIFEST_NAME, RepositoryEntry, check_name, sha256_of
from laps_export.repository.label_set import LabelSet, load_labels
from laps_export.repository.manifest import SCHEMA_VERSION, cost_entry, to_bytes
from laps_export.repository.publish import publish, staging
from laps_export.repository.triton_config import render_config
from laps_export.repository.version_choice import choose_version

VERSION = 1
"""A package's version never changes, so there is one; another package is another row."""
NOTICE_NAME = "NOTICE"
LICENCE_NAME = "LICENSE"

_TOOLS = ("numpy", "onnx", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class WrittenPackaged:
    """What was written.

    Attributes:
        path: the version's folder.
        max_abs_diff: what the gate found.
    """

    path: Path
    max_abs_diff: float


def contract_of(model: PackagedModel) -> TensorContract:
    """What the model's graph declares."""
    return TensorContract(
        frames=model.frames,
        height=model.resolution,
        width=model.resolution,
        classes=model.classes,
        steps=len(model.steps),
        embedding=model.embedding,
    )


def is_up_to_date(model: PackagedModel, repository: Path) -> bool:
    """Whether the entry is there, whole, and as this exporter would write it."""
    entry = RepositoryEntry(repository.resolve(), model.name)
    try:
        manifest = entry.manifest(VERSION)
        provenance = manifest["provenance"]
        made = provenance["exporter"] == _exporter() and provenance["package"] == _package(model)
        hashes = {entry.version_path(VERSION) / name: sha256 for name, sha256 in manifest["files"].items()}
        hashes[entry.labels_path] = manifest["labels"]["sha256"]
        described = "cost" in manifest  # which the same version of the exporter did not always write
        whole = all(sha256_of(path) == sha256 for path, sha256 in hashes.items())
        return made and described and whole and entry.config_path.is_file() and (entry.path / NOTICE_NAME).is_file()
    except (RepositoryError, OSError, KeyError, TypeError, AttributeError):
        return False


def write_packaged(
    model: PackagedModel, archive: bytes, repository: Path, *, on_progress: OnProgress = ignore
) -> WrittenPackaged:
    """Convert, check and move in, in the place of what may be there.

    Args:
        model: what the archive holds.
        archive: the whole of it; its hash and that of the weights are checked.
        repository: the model_repository folder; made where it is missing.
        on_progress: called at every stage.

    Raises:
        FetchError: `hash_differs`, `damaged_archive`.
        CheckpointError: the weights are not what they should be.
        GraphError, ParityError: the graph is not what it should be.
        RepositoryError: `labels_differ`, `shapes_differ`, `damaged_entry`, `cannot_write`.
    """
    labels, contract = load_labels(model.labels), contract_of(model)
    entry = RepositoryEntry(repository.resolve(), check_name(model.name))

    def check_place() -> None:
        choose_version(entry, labels=labels, contract=contract, version=VERSION, force=True)

    check_place()
    on_progress("reading the weights", 0, 1)
    weights = model.archive.read_member(archive)
    on_progress("writing the graph", 0, 1)
    graph = model.build(weights)
    on_progress("comparing it with the package's own network", 0, 1)
    difference = model.check(graph)
    try:
        with staging(entry.repository) as stage:
            built = RepositoryEntry(stage, model.name)
            _fill(built, model, graph, labels=labels, difference=difference)
            entry.repository.mkdir(parents=True, exist_ok=True)
            publish(built, entry, VERSION, check=check_place)
            _keep_notice(entry, model)
    except OSError as exc:
        raise RepositoryError(
            f"cannot write {entry.version_path(VERSION)}: {exc.strerror or exc}", code="cannot_write"
        ) from exc
    return WrittenPackaged(path=entry.version_path(VERSION), max_abs_diff=difference)


def _fill(
    built: RepositoryEntry, model: PackagedModel, graph: onnx.ModelProto, *, labels: LabelSet, difference: float
) -> None:
    folder = built.version_path(VERSION)
    folder.mkdir(parents=True)
    content = graph.SerializeToString()
    (folder / GRAPH_NAME).write_bytes(content)
    check_onnx(folder / GRAPH_NAME, contract_of(model))
    manifest = packaged_manifest(
        model, graph, labels=labels, difference=difference, graph_sha256=hashlib.sha256(content).hexdigest()
    )
    (folder / MANIFEST_NAME).write_bytes(to_bytes(manifest))
    built.labels_path.write_bytes(labels.to_bytes())
    built.config_path.write_text(render_config(model.name, contract_of(model), max_batch=model.serving.max_batch))
    _keep_notice(built, model)


def _keep_notice(entry: RepositoryEntry, model: PackagedModel) -> None:
    """The notice with the licence's text: they go wherever the weights go."""
    (entry.path / NOTICE_NAME).write_text(model.notice(), encoding="utf-8")
    licence = distribution("laps-export").read_text(f"licenses/{LICENCE_NAME}")
    if licence is None:
        raise GraphError("this installation of laps-export lacks its LICENSE", code="no_licence")
    (entry.path / LICENCE_NAME).write_text(licence, encoding="utf-8")


def packaged_manifest(
    model: PackagedModel, graph: onnx.ModelProto, *, labels: LabelSet, difference: float, graph_sha256: str
) -> dict[str, Any]:
    """The manifest as JSON-able data."""
    serving, size = model.serving, model.resolution
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": model.name,
        "family": model.family,
        "variant": model.variant,
        "output": {
            "name": OUTPUT_NAME,
            "kind": OutputKind.PER_STEP.value,
            "steps": [list(step) for step in model.steps],
        },
        "inputs": [
            {
                "name": INPUT_NAME,
                "dtype": "uint8",
                "layout": "BTHWC",
                "frames": model.frames,
                "height": size,
                "width": size,
                "stride": serving.stride,
            }
        ],
        "sampling": serving.sampling,
        "preprocess": {
            "short_side": serving.short_side,
            "crop_height": size,
            "crop_width": size,
            "interpolation": "bilinear",
            "mean": list(model.pixels.mean),
            "std": list(model.pixels.std),
        },
        "activation": "softmax",
        "average": "logits",
        "temperature": 1.0,
        "max_batch": serving.max_batch,
        "default_views": serving.default_views,
        "cost": _cost(graph),
        "labels": {"name": labels.name, "count": len(labels), "sha256": labels.sha256},
        "precisions": {
            "float32": {
                "file": GRAPH_NAME,
                "parity": {"max_abs_diff": difference, "tolerance": model.tolerance, "batch_sizes": [1]},
            }
        },
        "opset": OPSET,
        "files": {GRAPH_NAME: graph_sha256},
        "untrained": False,
        "provenance": _provenance(model),
    }
    if model.embedding is not None:
        manifest["embedding"] = {"name": EMBEDDING_NAME, "size": model.embedding}
    return manifest


def _cost(graph: onnx.ModelProto) -> dict[str, float]:
    learned = sum(math.prod(constant.dims) for constant in graph.graph.initializer if len(constant.dims) > 0)
    return cost_entry(gmacs=count_gmacs(graph), parameters_m=learned / 1e6)


def _provenance(model: PackagedModel) -> dict[str, Any]:
    return {
        "exporter": _exporter(),
        "package": _package(model),
        "licences": dict(model.licences),
        "tools": {tool: version(tool) for tool in _TOOLS},
    }


def _package(model: PackagedModel) -> dict[str, Any]:
    archive = model.archive
    return {
        "name": archive.package,
        "version": archive.version,
        "sha256": archive.file.sha256,
        "weights": {"file": Path(archive.member.name).name, "sha256": archive.member.sha256},
    }


def _exporter() -> str:
    return f"laps-export {__version__}"
