"""Where things lie in a model_repository, and which versions are there.

    <repository>/<name>/config.pbtxt
    <repository>/<name>/labels.txt
    <repository>/<name>/<version>/model.onnx
    <repository>/<name>/<version>/laps.json

Versions are positive integers, as Triton has them, of at most nine digits, as the server reads them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_export.errors import RepositoryError
from laps_export.repository import label_set as labels_file
from laps_export.repository import manifest as manifest_file

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
class Entry:
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
        return self.path / labels_file.FILE_NAME

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
        path = self.version_path(version) / manifest_file.FILE_NAME
        try:
            manifest = json.loads(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise RepositoryError(f"{path} cannot be read: {exc}", code="damaged_entry") from exc
        if not isinstance(manifest, dict):
            raise RepositoryError(f"{path} holds no JSON object", code="damaged_entry")
        return manifest
