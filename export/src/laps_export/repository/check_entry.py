"""Look at an entry that lies in a model_repository: is it still what was exported?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from laps_export.errors import ParityError, RepositoryError
from laps_export.graph.moving_clips import PHOTOGRAPHS, moving_clip
from laps_export.graph.parity import open_session, run_graph
from laps_export.graph.tensor_contract import TensorContract, check_onnx
from laps_export.repository.entry import GRAPH_NAME, RepositoryEntry, check_name, sha256_of
from laps_export.repository.label_set import parse_labels
from laps_export.repository.manifest import read_contract


@dataclass(frozen=True)
class CheckedVersion:
    """One version that passed; `plan` says what a TensorRT plan was built with, which is not run here."""

    version: int
    variant: str
    untrained: bool
    plan: str | None = None


def check_entry(folder: Path, *, version: int | None = None) -> list[CheckedVersion]:
    """Check every version of a model, or one: hashes, labels, tensor contract, and one short run.

    Args:
        folder: `<repository>/<name>`.
        version: None checks all.

    Raises:
        RepositoryError: `no_such_entry`, `damaged_entry` or `hash_differs`.
        LabelsError, GraphError, ParityError: labels or graph are not what they should be.
    """
    folder = folder.resolve()
    entry = RepositoryEntry(folder.parent, check_name(folder.name))
    versions = entry.versions()
    if not versions or (version is not None and version not in versions):
        wanted = "any version" if version is None else f"version {version}"
        raise RepositoryError(
            f"{folder} does not hold {wanted}",
            code="no_such_entry",
            hint="give <repository>/<name>, a folder with numbered versions in it",
        )
    return [_check_version(entry, v) for v in ([version] if version is not None else versions)]


def _check_version(entry: RepositoryEntry, version: int) -> CheckedVersion:
    manifest = entry.manifest(version)
    folder = entry.version_path(version)
    try:
        files: dict[str, str] = manifest["files"]
        wanted_labels = manifest["labels"]
        contract = read_contract(manifest)
        built = manifest.get("plan")
        plan = None if built is None else f"TensorRT {built['tensorrt']} on {built['gpu']}"
        checked = CheckedVersion(version, manifest["variant"], manifest["untrained"], plan)
        named = manifest["name"]
        hashes = [(folder / name, sha256) for name, sha256 in files.items()]
        hashes.append((entry.labels_path, wanted_labels["sha256"]))
    except (KeyError, IndexError, TypeError, AttributeError) as exc:
        raise RepositoryError(
            f"the manifest of {entry.name} version {version} lacks {exc}", code="damaged_entry"
        ) from exc
    if named != entry.name:
        raise RepositoryError(
            f"the manifest in {folder} is that of {named!r}",
            code="damaged_entry",
            hint="a model is renamed by exporting it again",
        )
    for path, sha256 in hashes:
        _check_hash(path, sha256)
    labels = parse_labels(entry.labels_path.read_bytes(), name=entry.name)
    if len(labels) != contract.classes:
        raise RepositoryError(
            f"{entry.labels_path} has {len(labels)} labels, the manifest {contract.classes}",
            code="damaged_entry",
        )
    if checked.plan is not None:
        return checked
    graph = folder / GRAPH_NAME
    check_onnx(graph, contract)
    _check_run(graph, contract)
    return checked


def _check_hash(path: Path, sha256: str) -> None:
    try:
        found = sha256_of(path)
    except OSError as exc:
        raise RepositoryError(f"{path} cannot be read: {exc.strerror}", code="damaged_entry") from exc
    if found != sha256:
        raise RepositoryError(
            f"{path} is not the file that was exported (its hash differs)",
            code="hash_differs",
            hint="export the model again",
        )


def _check_run(graph: Path, contract: TensorContract) -> None:
    """Two clips together must answer as each does alone, with finite logits of the right shape."""
    session = open_session(graph)
    clips = np.stack(
        [
            moving_clip(photo, frames=contract.frames, size=contract.height, seed=seed)
            for seed, photo in enumerate(PHOTOGRAPHS[:2])
        ]
    )
    together = run_graph(session, clips)
    alone = np.concatenate([run_graph(session, clip[None]) for clip in clips])
    shape = (len(clips), *contract.output_shape)
    if together.shape != shape or not np.isfinite(together).all():
        raise ParityError(
            f"{graph} answers with shape {list(together.shape)} or numbers that are not finite",
            code="parity_not_finite",
        )
    if not np.allclose(together, alone, atol=1e-3, rtol=0):
        raise ParityError(f"{graph} mixes the clips of a batch", code="parity_logits")
