"""Which photographs there are, and which split each belongs to.

All come from packages that a Debian machine with Python can install. A photograph's split follows from the
hash of its own bytes, before any clip is made: no photograph is in two splits, and a missing package moves no
other photograph. Pictures that look alike (a size variant, the second of a stereo pair) count as one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from laps_export.data.sources import DEBIAN_ROOT, SOURCES, PhotographSource
from laps_export.errors import DataError

_SALT = b"camera-motion-1"
_SHARES = (0.62, 0.14)  # of training and validation; the rest is for tests
_HASH_SIDE = 16
_SAME_BITS = 26  # of 256: re-encoded and rescaled copies stay below 12, different photographs above 60


class Split(StrEnum):
    """What a photograph may be used for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True)
class Photograph:
    """One picture file and the split it belongs to."""

    package: str
    path: Path
    sha256: str
    split: Split


@dataclass(frozen=True)
class Collection:
    """What was found.

    Attributes:
        photographs: without look-alikes, ordered by hash.
        versions: package to installed version, for provenance.
    """

    photographs: tuple[Photograph, ...]
    versions: dict[str, str]

    def of(self, split: Split) -> tuple[Photograph, ...]:
        """The photographs of one split."""
        return tuple(photo for photo in self.photographs if photo.split is split)

    @property
    def sha256(self) -> str:
        """One hash over all photographs: the same set gives the same clips."""
        return hashlib.sha256("".join(photo.sha256 for photo in self.photographs).encode()).hexdigest()


def split_of(sha256: str) -> Split:
    """The split of a photograph by its hash, independent of all others."""
    draw = int.from_bytes(hashlib.sha256(_SALT + bytes.fromhex(sha256)).digest()[:8], "big") / 2**64
    if draw < _SHARES[0]:
        return Split.TRAIN
    return Split.VAL if draw < sum(_SHARES) else Split.TEST


def find_photographs(*, debian_root: Path = DEBIAN_ROOT) -> Collection:
    """Every photograph of `SOURCES` that is installed, look-alikes dropped.

    Raises:
        DataError: `no_photographs`, a split is left without any.
    """
    found: list[Photograph] = []
    signatures: list[NDArray[np.bool_]] = []
    versions: dict[str, str] = {}
    for source in SOURCES:
        for path in _files(source, debian_root):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            signature = look(path)
            # The one met first stays; SOURCES and the sorted patterns fix who that is.
            if any(int((signature ^ other).sum()) <= _SAME_BITS for other in signatures):
                continue
            signatures.append(signature)
            found.append(Photograph(source.package, path, digest, split_of(digest)))
            versions.setdefault(source.package, _version(source))
    collection = Collection(tuple(sorted(found, key=lambda photo: photo.sha256)), versions)
    for split in Split:
        if not collection.of(split):
            raise DataError(
                f"no photographs for {split}",
                code="no_photographs",
                hint=f"install {' '.join(s.package for s in SOURCES if s.module is None)} with apt-get, "
                f"{' '.join(s.package for s in SOURCES if s.module)} with pip",
            )
    return collection


def look(path: Path) -> NDArray[np.bool_]:
    """What a picture looks like from afar: `[256]` signs of horizontal differences at 16 x 16.

    Raises:
        DataError: `unreadable_photograph`.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_4)
    if picture is None:
        raise DataError(f"{path} cannot be read as a picture", code="unreadable_photograph")
    small = cv2.resize(picture, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (np.diff(small, axis=1) > 0).ravel()


def _files(source: PhotographSource, debian_root: Path) -> list[Path]:
    root = debian_root if source.module is None else _module_folder(source.module)
    if root is None:
        return []
    return [path for pattern in source.patterns for path in sorted(root.glob(pattern)) if path.is_file()]


def _module_folder(module: str) -> Path | None:
    """Where a Python package lies, without importing it."""
    spec = find_spec(module)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _version(source: PhotographSource) -> str:
    if source.module is not None:
        try:
            return version(source.package)
        except PackageNotFoundError:
            return "unknown"
    dpkg = shutil.which("dpkg-query")
    if dpkg is None:
        return "unknown"
    done = subprocess.run(
        [dpkg, "--show", "--showformat=${Version}", source.package], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
