"""Which version of a model may be written: the next free one, or the one asked for, beside those already there."""

from __future__ import annotations

from laps_export.errors import RepositoryError
from laps_export.graph.tensor_contract import TensorContract
from laps_export.repository.entry import LABELS_NAME, RepositoryEntry, check_version
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import read_contract


def choose_version(
    entry: RepositoryEntry, *, labels: LabelSet, contract: TensorContract, version: int | None, force: bool
) -> int:
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


def _check_labels(entry: RepositoryEntry, labels: LabelSet) -> None:
    try:
        have = entry.labels_path.read_bytes()
    except OSError as exc:
        raise RepositoryError(f"{entry.path} exists but has no readable {LABELS_NAME}", code="damaged_entry") from exc
    if have != labels.to_bytes():
        raise RepositoryError(
            f"{entry.name} is there with other labels than {labels.name!r}",
            code="labels_differ",
            hint="all versions of a model share their labels: give this one a name of its own",
        )


def _check_shapes(entry: RepositoryEntry, version: int, contract: TensorContract) -> None:
    manifest = entry.manifest(version)
    try:
        have = read_contract(manifest)
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
