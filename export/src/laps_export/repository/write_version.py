"""Write one version of one model into a model_repository: all of it, or nothing.

Everything is built in a folder beside the repository, on the same filesystem, and moved in by one rename
after the parity gate, under a lock. A server that watches the repository never sees half a model, and a failure
or an interrupt leaves nothing behind.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from laps_export.errors import LabelsError, RepositoryError
from laps_export.families.laps.visformer import Laps
from laps_export.graph.complexity import measure
from laps_export.graph.onnx_export import TensorContract, export_onnx
from laps_export.graph.parity import FLOAT32_GATE, Gate, OnProgress, Parity, check_parity
from laps_export.repository import label_set as labels_file
from laps_export.repository import manifest as manifest_file
from laps_export.repository import triton_config as triton
from laps_export.repository.entry import Entry, check_name, check_version
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import Origin, Serving, build_manifest
from laps_export.repository.publish import publish, staging
from laps_export.repository.triton_config import TensorRtPrecision


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What is to be written.

    Attributes:
        model: with its final weights.
        variant: its name in the registry.
        labels: one for each of its outputs.
        name: the entry's name.
        origin: where the weights come from.
        serving: how it wants to be served.
        version: None takes the next free one.
        force: replace `version` if it is there; a version that was left to be chosen replaces none.
        tensorrt: precision in which Triton's ONNX Runtime hands the graph to TensorRT; None does not.
    """

    model: Laps
    variant: str
    labels: LabelSet
    name: str
    origin: Origin
    serving: Serving = field(default_factory=Serving)
    version: int | None = None
    force: bool = False
    tensorrt: TensorRtPrecision | None = None


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: the version's folder.
        version: its number.
        parity: what the graph reached.
        kept_config: a config.pbtxt was there and stays, since operators tune it.
    """

    path: Path
    version: int
    parity: Parity
    kept_config: bool


def write_bundle(
    bundle: Bundle,
    repository: Path,
    *,
    gate: Gate = FLOAT32_GATE,
    on_progress: OnProgress | None = None,
) -> Written:
    """Export, check and move in one version.

    Args:
        bundle: what to write.
        repository: the model_repository folder; made where it is missing.
        gate: what the graph must reach.
        on_progress: told of every step.

    Raises:
        LabelsError: `label_count`.
        RepositoryError: `invalid_name`, `invalid_version`, `version_exists`, `labels_differ`,
            `shapes_differ`, `damaged_entry`, `cannot_write`.
        GraphError, ParityError: the export is not what it should be.
    """
    classes = bundle.model.config.classes
    if len(bundle.labels) != classes:
        raise LabelsError(
            f"label set {bundle.labels.name!r} has {len(bundle.labels)} labels, the model {classes} outputs",
            code="label_count",
        )
    entry = Entry(repository.resolve(), check_name(bundle.name))
    version = plan_version(
        entry,
        labels=bundle.labels,
        contract=TensorContract.of(bundle.model),
        version=bundle.version,
        force=bundle.force,
    )
    report = on_progress or _ignore
    try:
        with staging(entry.repository) as stage:
            built = Entry(stage, bundle.name)
            parity = _build(bundle, built, version, gate, report)
            entry.repository.mkdir(parents=True, exist_ok=True)
            # Somebody else may have written since it was planned, and not only this version.
            kept_config = publish(
                built,
                entry,
                version,
                check=lambda: plan_version(
                    entry,
                    labels=bundle.labels,
                    contract=TensorContract.of(bundle.model),
                    version=version,
                    force=bundle.force and bundle.version is not None,
                ),
            )
    except OSError as exc:
        raise RepositoryError(
            f"cannot write {entry.version_path(version)}: {exc.strerror or exc}",
            code="cannot_write",
            hint="entries are built beside the repository folder, on its filesystem, and then renamed",
        ) from exc
    return Written(path=entry.version_path(version), version=version, parity=parity, kept_config=kept_config)


def plan_version(entry: Entry, *, labels: LabelSet, contract: TensorContract, version: int | None, force: bool) -> int:
    """The version to write, after checking that it may stand beside those already there.

    Raises:
        RepositoryError: `invalid_version`, `version_exists`, `labels_differ`, `shapes_differ`,
            `damaged_entry`.
    """
    if version is not None:
        check_version(version)
    present = entry.versions()
    if version in present and not force:
        raise RepositoryError(
            f"{entry.name} already has version {version}",
            code="version_exists",
            hint=f"leave --version out for version {present[-1] + 1}, or replace it with --force",
        )
    if not entry.path.exists():
        return version or 1
    _check_labels(entry, labels)
    for other in present:
        _check_shapes(entry, other, contract)
    return version or check_version(present[-1] + 1 if present else 1)


def _check_labels(entry: Entry, labels: LabelSet) -> None:
    try:
        have = entry.labels_path.read_bytes()
    except OSError as exc:
        raise RepositoryError(
            f"{entry.path} exists but has no readable {labels_file.FILE_NAME}", code="damaged_entry"
        ) from exc
    if have != labels.to_bytes():
        raise RepositoryError(
            f"{entry.name} is there with other labels than {labels.name!r}",
            code="labels_differ",
            hint="all versions of a model share their labels: give this one a name of its own",
        )


def _check_shapes(entry: Entry, version: int, contract: TensorContract) -> None:
    manifest = entry.manifest(version)
    try:
        first = manifest["inputs"][0]
        have = TensorContract(first["frames"], first["height"], first["width"], manifest["labels"]["count"])
    except (KeyError, IndexError, TypeError) as exc:
        raise RepositoryError(
            f"the manifest of {entry.name} version {version} lacks {exc}", code="damaged_entry"
        ) from exc
    if have != contract:
        raise RepositoryError(
            f"{entry.name} version {version} takes {have.frames} frames of {have.height} x {have.width},"
            f" this model {contract.frames} of {contract.height} x {contract.width}",
            code="shapes_differ",
            hint="all versions of a model share their shapes: give this one a name of its own",
        )


def _build(bundle: Bundle, built: Entry, version: int, gate: Gate, report: OnProgress) -> Parity:
    folder = built.version_path(version)
    folder.mkdir(parents=True)
    contract = TensorContract.of(bundle.model)
    report("counting operations", 0, 1)
    complexity = measure(bundle.model)
    report("writing the graph", 0, 1)
    graph = folder / manifest_file.GRAPH_NAME
    export_onnx(bundle.model, graph)
    parity = check_parity(bundle.model, graph, gate=gate, on_progress=report)
    manifest = build_manifest(
        name=bundle.name,
        variant=bundle.variant,
        config=bundle.model.config,
        labels=bundle.labels,
        serving=bundle.serving,
        origin=bundle.origin,
        complexity=complexity,
        parity=parity,
        graph_sha256=sha256_of(graph),
    )
    (folder / manifest_file.FILE_NAME).write_bytes(manifest_file.to_bytes(manifest))
    built.labels_path.write_bytes(bundle.labels.to_bytes())
    (built.path / triton.FILE_NAME).write_text(triton.render_config(bundle.name, contract, tensorrt=bundle.tensorrt))
    return parity


def sha256_of(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ignore(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
