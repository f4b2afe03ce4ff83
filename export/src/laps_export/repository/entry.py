"""Where things lie in a model_repository, and which versions are there.

    <repository>/<name>/config.pbtxt
    <repository>/<name>/labels.txt
    <repository>/<name>/<version>/model.onnx
    <repository>/<name>/<version>/laps.json

Versions are positive integers, as Triton has them, of at most nine digits, as the server reads them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_export.errors import RepositoryError

CONFIG_NAME = "config.pbtxt"
LABELS_NAME = "labels.txt"
GRAPH_NAME = "model.onnx"
MANIFEST_NAME = "laps.json"

DEFAULT_REPOSITORY = Path("model_repository")
"""Of every command, below the folder it runs in."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
MAX_VERSION = 999_999_999


def check_name(name: str) -> str:
    """The name, if a folder and a URL can carry it.

    Raises:
        RepositoryError: `invalid_name`.
    """
    if not _NAME.fullmatch(name):
        raise RepositoryError(
            f"model name {name!r}",
            code="invalid_name",
            hint="letters, digits, '.', '_' and '-' only, and no dot in front",
        )
    return name


def check_version(version: int) -> int:
    """The version, if a server finds it.

    Raises:
        RepositoryError: `invalid_version`.
    """
    if not 1 <= version <= MAX_VERSION:
        raise RepositoryError(f"version {version}", code="invalid_version", hint=f"versions are 1 to {MAX_VERSION}")
    return version


@dataclass(frozen=True)
class RepositoryEntry:
    """One model's folder, which need not exist yet."""

    repository: Path
    name: str

    @property
    def path(self) -> Path:
        """The model's folder."""
        return self.repository / self.name

    @property
    def labels_path(self) -> Path:
        """Labels are one file for all versions."""
        return self.path / LABELS_NAME

    @property
    def config_path(self) -> Path:
        """Triton's configuration, one for all versions too."""
        return self.path / CONFIG_NAME

    def version_path(self, version: int) -> Path:
        """One version's folder."""
        return self.path / str(version)

    def versions(self) -> list[int]:
        """Versions that are there, ascending; empty for a new model."""
        if not self.path.is_dir():
            return []
        return sorted(int(p.name) for p in self.path.iterdir() if p.is_dir() and _VERSION.fullmatch(p.name))

    def manifest(self, version: int) -> dict[str, Any]:
        """One version's laps.json.

        Raises:
            RepositoryError: `damaged_entry`, it is missing or is no JSON object.
        """
        path = self.version_path(version) / MANIFEST_NAME
        try:
            manifest = json.loads(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise RepositoryError(f"{path} cannot be read: {exc}", code="damaged_entry") from exc
        if not isinstance(manifest, dict):
            raise RepositoryError(f"{path} holds no JSON object", code="damaged_entry")
        return manifest


def sha256_of(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
