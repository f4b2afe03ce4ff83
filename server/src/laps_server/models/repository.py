"""Models and versions on disk: find them, read their manifests, check their files.

Layout, which is Triton's own::

    <root>/<model>/labels.txt
    <root>/<model>/<version>/laps.json, model.onnx, ...

There may be several roots: a model is the first root's that has its name, with all of its versions.
Everything here is plain files; nothing is loaded into an engine. A model that is wrong is an error at boot, never
a surprise in the first request. What is served lies in its root and has a hash: links that lead out of the root are
refused, and graphs that draw weights from other files.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from laps_server.engines.choices import Precision
from laps_server.errors import ManifestInvalid, ModelCorrupt, NoModels
from laps_server.models.external_data import refuse_external_data
from laps_server.models.manifest import FILE_NAME, LABELS_FILE_NAME, Manifest, parse_manifest

VersionChoice = Literal["latest", "all"]

DEFAULT_ROOT = Path("model_repository")  # in the folder that a command is run in
_LOG = logging.getLogger(__name__)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")

# A model's name and a version.
Ref = tuple[str, int]
# Of each file of a version its name, size, time and inode: another stamp means another look at the content.
Stamp = tuple[tuple[str, int, int, int], ...]


def shown(ref: Ref) -> str:
    """As logs, metrics and answers write it: ``name/version``."""
    name, version = ref
    return f"{name}/{version}"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One version of one model, read and checked: its manifest, its labels in index order, its folder."""

    manifest: Manifest
    version: int
    labels: tuple[str, ...]
    folder: Path
    stamp: Stamp  # from before they were read

    @property
    def name(self) -> str:
        """The model's name, which is its folder's."""
        return self.manifest.name

    @property
    def shown(self) -> str:
        """Name and version, as ``name/version``."""
        return shown((self.name, self.version))

    @property
    def graph(self) -> Path:
        """Path of the float32 graph."""
        return self.graph_of("float32")

    def graph_of(self, precision: Precision) -> Path:
        """Path of the file that an engine of that precision runs; of a plan the plan."""
        return self.folder / self.manifest.file_of(precision)


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """One version of one model, found and not yet read."""

    model: Path
    version: int
    stamp: Stamp

    @property
    def ref(self) -> Ref:
        """Its model's name and its number."""
        return self.model.name, self.version

    def read(self) -> ModelFiles:
        """See :func:`read_model`."""
        return read_model(self.model, self.version)


def discover(*roots: Path, versions: VersionChoice) -> tuple[ModelFiles, ...]:
    """Read every model below ``roots``, in order of name and version; of models of one name, the first root's.

    Raises:
        NoModels: where there is no folder or no model in any.
        ManifestInvalid, ModelCorrupt: where a model is there and wrong.
    """
    return tuple(found.read() for found in find_versions(*roots, versions=versions))


def find_versions(
    *roots: Path, versions: VersionChoice, beside: frozenset[Ref] = frozenset()
) -> tuple[VersionFolder, ...]:
    """What :func:`discover` would read; and versions that are wanted beside the latest, which is another than those.

    Raises:
        NoModels: where there is no folder or no model in any.
    """
    folders: dict[str, Path] = {}
    for root in roots:
        below = _model_folders(root)
        if not below and len(roots) > 1:
            _LOG.warning("model repository %s %s", root, _why_empty(root))
        for folder in below:
            if folders.setdefault(folder.name, folder) is not folder:
                _LOG.info("%s is passed over: %s has the same name", folder, folders[folder.name])
    if not folders:
        raise _no_models(roots)
    return tuple(
        VersionFolder(folder, version, _stamp(folder, version))
        for _, folder in sorted(folders.items())
        for version in _chosen(folder, versions, beside)
    )


def _no_models(roots: tuple[Path, ...]) -> NoModels:
    others = "the project's folder has models in model_repository: run the command there"
    if DEFAULT_ROOT not in roots:
        others = "in the project's folder, make serve without MODEL_REPOSITORY serves the models that come with it"
    return NoModels(
        "; ".join(f"model repository {root} {_why_empty(root)}" for root in roots),
        hint=f"{others}. To put one of yours into {roots[0]} (make dev puts laps-export into .venv-dev/bin): "
        "laps-export onnx --checkpoint best_ckpt.pth --variant laps --labels kinetics400-laps --name laps-k400 "
        f"--repository {shlex.quote(str(roots[0]))}",
    )


def _why_empty(root: Path) -> str:
    return "holds no model" if root.is_dir() else "is not a folder" if root.exists() else "does not exist"


def read_model(folder: Path, version: int) -> ModelFiles:
    """Read and check one version: manifest, labels, and the hash of every file that the manifest names."""
    stamp = _stamp(folder, version)
    version_folder = folder / str(version)
    _check_inside(folder, version)
    where = f"{folder.name}/{version}/{FILE_NAME}"
    try:
        text = (version_folder / FILE_NAME).read_bytes()
    except OSError as exc:
        raise ManifestInvalid(f"{where} cannot be read: {exc.strerror}") from exc
    manifest = parse_manifest(text, where=where)
    if manifest.name != folder.name:
        raise ManifestInvalid(
            f"{where}: name is {manifest.name!r} but the folder is {folder.name!r}",
            hint="a model's folder carries its name; rename the folder or export under the other name",
        )
    labels = _read_labels(folder, manifest, where)
    for name, digest in manifest.files.items():
        _check_hash(version_folder / name, digest, f"{folder.name}/{version}/{name}")
    # A graph may draw weights from files beside it: what is not hashed is not served.
    for path in sorted(version_folder.iterdir()):
        if path.name not in manifest.files and path.name != FILE_NAME and not path.name.startswith("."):
            raise ModelCorrupt(
                f"{folder.name}/{version}/{path.name} is not named in {where}", hint="remove it, or export again"
            )
    if manifest.plan is None:
        for precision in manifest.precisions.values():
            refuse_external_data(version_folder / precision.file, f"{folder.name}/{version}/{precision.file}")
    return ModelFiles(manifest=manifest, version=version, labels=labels, folder=version_folder, stamp=stamp)


def _files_of(folder: Path, version: int) -> Iterable[Path]:
    """What a version consists of: its folder, what lies in it, and the labels beside it."""
    version_folder = folder / str(version)
    inside = version_folder.iterdir() if version_folder.is_dir() else ()
    return folder / LABELS_FILE_NAME, version_folder, *inside


def _stamp(folder: Path, version: int) -> Stamp:
    """Of a version as it is now; what is gone meanwhile has none."""
    found = []
    try:
        for path in _files_of(folder, version):
            info = path.stat()
            found.append((path.name, info.st_size, info.st_mtime_ns, info.st_ino))
    except OSError:  # it is being changed: the next look will tell
        found.append(("", 0, 0, 0))
    return tuple(sorted(found))


def _check_inside(folder: Path, version: int) -> None:
    """Refuse links out of the root that the model's folder lies in, and what is no plain file."""
    root = folder.parent.resolve()
    for path in _files_of(folder, version):
        shown = f"{folder.name}/{path.relative_to(folder)}"
        try:
            inside = path.resolve(strict=True).is_relative_to(root)
        except (OSError, RuntimeError):  # nothing there, or a circle of links: told by whoever reads it
            continue
        if not inside:
            raise ModelCorrupt(
                f"{shown} is a link that leaves the model repository", hint="copy what it leads to into the folder"
            )
        if not (path.is_file() or path.is_dir()):
            raise ModelCorrupt(f"{shown} is not a file", hint="copy the whole model folder again, or export it again")


def _model_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(
        folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".") and _versions(folder)
    )


def _versions(folder: Path) -> list[int]:
    names = (child.name for child in folder.iterdir() if (child / FILE_NAME).is_file())
    return sorted(int(name) for name in names if _VERSION.fullmatch(name))


def _chosen(folder: Path, which: VersionChoice, beside: frozenset[Ref]) -> list[int]:
    found = _versions(folder)
    extra = [version for version in found if (folder.name, version) in beside]
    latest = [version for version in found if version not in extra][-1:]
    return found if which == "all" else sorted([*latest, *extra])


def _read_labels(folder: Path, manifest: Manifest, where: str) -> tuple[str, ...]:
    path = folder / LABELS_FILE_NAME
    shown = f"{folder.name}/{LABELS_FILE_NAME}"
    _check_hash(path, manifest.labels.sha256, shown)
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError as exc:
        raise ModelCorrupt(f"{shown} is not UTF-8") from exc
    seen: set[str] = set()
    for number, label in enumerate(labels, start=1):
        if not label.strip() or not label.isprintable() or label in seen:
            raise ModelCorrupt(f"{shown}: line {number} is blank, not printable or there twice: {label[:100]!a}")
        seen.add(label)
    if len(labels) != manifest.labels.count:
        raise ModelCorrupt(
            f"{shown} has {len(labels)} labels but {where} says {manifest.labels.count}",
            hint="export the model again with its own label file",
        )
    return labels


def _check_hash(path: Path, digest: str, shown: str) -> None:
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as exc:
        raise ModelCorrupt(f"{shown} is missing", hint="copy the whole model folder, or export it again") from exc
    except OSError as exc:
        raise ModelCorrupt(f"{shown} cannot be read: {exc.strerror}") from exc
    if actual != digest:
        raise ModelCorrupt(
            f"{shown} is not the file that was exported: sha256 is {actual[:12]}…, the manifest says {digest[:12]}…",
            hint="copy the whole model folder again, or export it again",
        )
