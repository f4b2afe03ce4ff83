"""How a video gets here: both forms of a body, and what is wrong with them; on a real server over real HTTP."""

from __future__ import annotations

import base64
import errno
import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from laps_server.api import uploads
from support.classify_requests import MAX_UPLOAD_BYTES, error_of, post
from support.held_server import in_process
from support.hostile_files import multipart


def test_an_empty_file_is_called_empty(client: httpx.Client) -> None:
    as_body = client.post("/classify", content=b"", headers={"content-type": "video/mp4"})
    as_field = client.post("/classify", files={"file": b""})
    for response in (as_body, as_field):
        assert "empty" in error_of(response, 415, "unsupported_container")["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", None, 422, "file_missing"),
        (b"", "video/mp4", 415, "unsupported_container"),
        (b"x", "multipart/form-data", 400, "bad_multipart"),
        (b"not multipart at all", "multipart/form-data; boundary=b", 400, "bad_multipart"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422, "file_missing"),
        (multipart(("video", "a.mp4", b"x")), "multipart/form-data; boundary=b", 422, "file_missing"),
        (multipart(("model", None, b"x")), "multipart/form-data; boundary=b", 422, "bad_parameter"),
        (multipart(("file", "a", b"x"), ("file", "b", b"y")), "multipart/form-data; boundary=b", 400, "too_many_files"),
        (multipart(("file", "a", b"x"), end=False), "multipart/form-data; boundary=b", 422, "file_missing"),
        (multipart(("file", "a", b"")), "multipart/form-data; boundary=b", 415, "unsupported_container"),
        (
            b"--b\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(1000)) + b"\r\n",
            "multipart/form-data; boundary=b",
            400,
            "bad_multipart",
        ),
        (b"plain text, no video " * 50, "video/mp4", 415, "unsupported_container"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "video/mp4", 415, "unsupported_container"),
    ],
    ids=[
        "no body",
        "empty body",
        "no boundary",
        "not multipart",
        "no part",
        "wrong field",
        "option as field",
        "two files",
        "truncated",
        "empty file",
        "header flood",
        "text",
        "picture",
    ],
)
def test_a_body_that_is_no_video_is_told(
    client: httpx.Client, video: Path, body: bytes, content_type: str | None, status: int, code: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    error_of(client.post("/classify", content=body, headers=headers), status, code)
    assert post(client, video)["predictions"], "the next good request succeeds"


@pytest.mark.parametrize("lines", ["all", "headers", "headers of nothing else"])
def test_a_multipart_body_of_bare_line_feeds_is_told_what_its_lines_end_with(
    client: httpx.Client, video: Path, lines: str
) -> None:
    content = video.read_bytes() if lines != "headers of nothing else" else b"\0" * 9000
    body = multipart(("file", "a.mp4", b"VIDEO")).replace(b"\r\n", b"\n").replace(b"VIDEO", content)
    if lines != "all":
        body = body.replace(b"--b\n", b"--b\r\n", 1)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    error = error_of(client.post("/classify", content=body, headers=headers), 400, "bad_multipart")
    assert "CR and LF" in error["hint"]


def test_a_closing_boundary_after_a_bare_line_feed_is_told_too(client: httpx.Client) -> None:
    body = multipart(("file", "a.mp4", b"x")).replace(b"x\r\n--b--", b"x\n--b--")
    headers = {"content-type": "multipart/form-data; boundary=b"}
    error = error_of(client.post("/classify", content=body, headers=headers), 422, "file_missing")
    assert "CR LF" in error["hint"]


def test_a_body_that_is_no_multipart_is_not_told_of_its_lines(client: httpx.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    error = error_of(client.post("/classify", content=b"a video\n" * 9, headers=headers), 400, "bad_multipart")
    assert "CR" not in error["hint"]


def encoded(content: bytes, encoding: str) -> bytes:
    body = multipart(("file", "a.mp4", b"VIDEO"))
    header = f"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    return body.replace(b"\r\n\r\n", header, 1).replace(b"VIDEO", content)


@pytest.mark.parametrize("encoding", ["base64", "BASE64", "quoted-printable"])
def test_a_part_in_a_transfer_encoding_is_refused(client: httpx.Client, video: Path, encoding: str) -> None:
    body = encoded(base64.encodebytes(video.read_bytes()).replace(b"\n", b"\r\n"), encoding)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    error = error_of(client.post("/classify", content=body, headers=headers), 400, "bad_multipart")
    assert encoding.lower() in error["message"]
    assert "as they are" in error["hint"]


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7bit", " Binary "])
def test_a_transfer_encoding_that_changes_no_byte_is_read(client: httpx.Client, video: Path, encoding: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    response = client.post("/classify", content=encoded(video.read_bytes(), encoding), headers=headers)
    assert response.status_code == 200, response.text


def test_an_upload_over_the_limit_is_refused_by_its_declared_size(client: httpx.Client) -> None:
    error = error_of(client.post("/classify", content=b"\0" * (2 * MAX_UPLOAD_BYTES)), 413, "too_large")
    assert str(MAX_UPLOAD_BYTES) in error["message"]


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_an_upload_over_the_limit_is_refused_while_it_streams(client: httpx.Client, form: str) -> None:
    def body() -> Iterator[bytes]:
        if form == "multipart":
            yield multipart(("file", "a", b""), end=False)[:-2]
        for _ in range(40):
            yield b"\0" * 20_000

    content_type = "multipart/form-data; boundary=b" if form == "multipart" else "video/mp4"
    error_of(client.post("/classify", content=body(), headers={"content-type": content_type}), 413, "too_large")


def test_an_upload_that_stalls_is_408(client: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        yield b"\0" * 100
        time.sleep(2.5)
        yield b"\0" * 100

    error_of(client.post("/classify", content=body()), 408, "slow_upload")


def test_an_upload_that_trickles_is_408_too(client: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"\0"
            time.sleep(0.3)

    error = error_of(client.post("/classify", content=body()), 408, "slow_upload")
    assert "a second" in error["message"]
    assert int(error["message"].split()[0]) < 20, "it waited for the whole upload"


def test_a_deadline_that_passes_while_a_full_disk_refuses_an_upload_is_all_that_is_told(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_file: object, _data: bytes) -> None:
        time.sleep(0.5)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(uploads, "_write_all", full)
    with in_process(repository) as server:
        answer = httpx.post(f"{server.url}/classify?deadline_ms=100", content=b"video", timeout=60)
        error_of(answer, 504, "deadline_exceeded")
        gc.collect()  # by which asyncio finds errors that nobody has asked for
    assert "never retrieved" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_packed_body_is_refused_with_its_reason(client: httpx.Client, video: Path) -> None:
    response = client.post("/classify", content=video.read_bytes(), headers={"content-encoding": "gzip"})
    assert "gzip" in error_of(response, 422, "bad_parameter")["message"]


def test_a_hostile_file_name_changes_nothing(client: httpx.Client, video: Path) -> None:
    for name in ("../../../etc/passwd", "a\0b.mp4", "http://127.0.0.1/x.m3u8", "'\"; rm -rf /"):
        response = client.post("/classify", files={"file": (name, video.read_bytes())})
        assert response.status_code == 200, response.text
