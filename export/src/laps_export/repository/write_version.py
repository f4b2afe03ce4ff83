"""Write one version of one model into a model_repository: all of it, or nothing.

Everything is built in a folder beside the repository, on the same filesystem, and moved in by one rename
after the parity gate, under a lock. A server that watches the repository never sees half a model, and a failure
or an interrupt leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from laps_export.errors import ConfigError, LabelsError, RepositoryError
from laps_export.families.family import FRAMES_TOGETHER, VideoModel
from laps_export.graph.complexity import measure
from laps_export.graph.onnx_export import export_onnx
from laps_export.graph.parity import FLOAT32_GATE, ParityGate, ParityReport, check_parity
from laps_export.graph.tensor_contract import TensorContract
from laps_export.progress import OnProgress, ignore
from laps_export.repository.entry import (
    GRAPH_NAME,
    MANIFEST_NAME,
    RepositoryEntry,
    check_name,
    sha256_of,
)
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import WeightOrigin, build_manifest, to_bytes
from laps_export.repository.publish import publish, staging
from laps_export.repository.serving import Serving
from laps_export.repository.triton_config import AcceleratorPrecision, render_config
from laps_export.repository.version_choice import choose_version


@dataclass(frozen=True, kw_only=True)
class VersionRequest:
    """What is to be written.

    Attributes:
        model: with its final weights.
        labels: one for each of its outputs.
        name: the entry's name.
        origin: where the weights come from.
        serving: how it wants to be served.
        version: None takes the next free one.
        force: replace `version` if it is there; a version that was left to be chosen replaces none.
        tensorrt: precision in which Triton's ONNX Runtime hands the graph to TensorRT; None does not.
    """

    model: VideoModel
    labels: LabelSet
    name: str
    origin: WeightOrigin
    serving: Serving
    version: int | None = None
    force: bool = False
    tensorrt: AcceleratorPrecision | None = None


@dataclass(frozen=True, kw_only=True)
class WrittenVersion:
    """What was written.

    Attributes:
        path: the version's folder.
        version: its number.
        parity: what the graph reached.
        kept_config: a config.pbtxt was there and stays, since operators tune it.
    """

    path: Path
    version: int
    parity: ParityReport
    kept_config: bool


def write_version(
    request: VersionRequest,
    repository: Path,
    *,
    gate: ParityGate = FLOAT32_GATE,
    on_progress: OnProgress | None = None,
) -> WrittenVersion:
    """Export, check and move in one version.

    Args:
        request: what to write.
        repository: the model_repository folder; made where it is missing.
        gate: what the graph must reach.
        on_progress: called at every step.

    Raises:
        LabelsError: `label_count`.
        ConfigError: `invalid_sampling`, the rule is for other clips.
        RepositoryError: `invalid_name`, `invalid_version`, `version_exists`, `labels_differ`,
            `shapes_differ`, `damaged_entry`, `cannot_write`.
        GraphError, ParityError: the export is not what it should be.
    """
    contract = TensorContract.of(request.model)
    if len(request.labels) != contract.classes:
        raise LabelsError(
            f"label set {request.labels.name!r} has {len(request.labels)} labels, the model {contract.classes} outputs",
            code="label_count",
        )
    together = FRAMES_TOGETHER.get(request.serving.sampling, 1)
    if contract.frames % together:
        raise ConfigError(
            f"sampling {request.serving.sampling!r} of {contract.frames} frames a clip",
            code="invalid_sampling",
            hint=f"it takes {together} frames at a time, so a clip's have to be a multiple of that",
        )
    entry = RepositoryEntry(repository.resolve(), check_name(request.name))

    def choose(version: int | None, *, force: bool) -> int:
        return choose_version(entry, labels=request.labels, contract=contract, version=version, force=force)

    version = choose(request.version, force=request.force)
    try:
        with staging(entry.repository) as stage:
            built = RepositoryEntry(stage, request.name)
            parity = _build(request, built.version_path(version), gate=gate, report=on_progress or ignore)
            built.labels_path.write_bytes(request.labels.to_bytes())
            built.config_path.write_text(
                render_config(request.name, contract, max_batch=request.model.max_batch, tensorrt=request.tensorrt)
            )
            entry.repository.mkdir(parents=True, exist_ok=True)
            # Somebody else may have written since it was chosen, and not only this version.
            named = request.force and request.version is not None
            kept_config = publish(built, entry, version, check=lambda: choose(version, force=named))
    except OSError as exc:
        raise RepositoryError(
            f"cannot write {entry.version_path(version)}: {exc.strerror or exc}",
            code="cannot_write",
            hint="entries are built beside the repository folder, on its filesystem, and then renamed",
        ) from exc
    return WrittenVersion(path=entry.version_path(version), version=version, parity=parity, kept_config=kept_config)


def _build(request: VersionRequest, folder: Path, *, gate: ParityGate, report: OnProgress) -> ParityReport:
    """Fill a version's folder: the graph, once it has passed the gate, and the manifest."""
    model = request.model
    folder.mkdir(parents=True)
    report("counting operations", 0, 1)
    complexity = measure(model)
    report("writing the graph", 0, 1)
    graph = folder / GRAPH_NAME
    export_onnx(model, graph)
    parity = check_parity(model, graph, gate=gate, on_progress=report)
    manifest = build_manifest(
        name=request.name,
        model=model,
        labels=request.labels,
        serving=request.serving,
        origin=request.origin,
        complexity=complexity,
        parity=parity,
        graph_sha256=sha256_of(graph),
    )
    (folder / MANIFEST_NAME).write_bytes(to_bytes(manifest))
    return parity
