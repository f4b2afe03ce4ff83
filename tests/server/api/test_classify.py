"""``POST /classify`` on a real server process, over real HTTP."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video

MAX_UPLOAD_BYTES = 400_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classify")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    write_model(folder / "models", "colours")
    write_model(folder / "models", "untrained", untrained=True)
    write_model(folder / "models", "ordered", schema_version=2, sampling="uniform_in_order")
    env = {"LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES), "LAPS_UPLOAD_IDLE_TIMEOUT_S": "1"}
    with running_server(folder / "models", env=env) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def log(server: ServerProcess) -> list[str]:
    return server.log


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    return write_colour_video(folder / "clip.mp4", [RED] * 12 + [BLUE] * 8)


def post(client: httpx.Client, video: Path, **query: Any) -> dict[str, Any]:
    with video.open("rb") as file:
        response = client.post("/classify", params=query, files={"file": file})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def error_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"code", "message", "hint", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return error


def test_the_answer_has_every_documented_part(client: httpx.Client, video: Path) -> None:
    body = post(client, video, top_k=4)
    assert body["model"] == {"name": "colours", "version": 1}
    assert [set(item) for item in body["predictions"]] == [{"label", "index", "score"}] * 4
    assert sum(item["score"] for item in body["predictions"]) == pytest.approx(1, abs=1e-6)
    frames = body["frames"]
    assert frames["labels"] == [item["label"] for item in body["predictions"]]
    assert len(frames["index"]) == len(frames["time_s"]) == len(frames["scores"])
    assert frames["time_s"] == sorted(frames["time_s"])
    assert body["views"] == {"temporal": 2, "spatial": 3, "used": 6, "sampling": "laps_uniform"}
    assert body["video"] | {"container": ""} == {
        "container": "",
        "codec": "mpeg4",
        "width": 64,
        "height": 48,
        "fps": 10.0,
        "duration_s": 2.0,
        "frame_count": 20,
        "rotation": 0,
        "sample_aspect_ratio": body["video"]["sample_aspect_ratio"],
        "stream_index": 0,
    }
    assert "mp4" in body["video"]["container"]
    assert set(body["timings_ms"]) == {"upload", "decode", "queue", "infer", "total"}
    assert body["warnings"] == []
    assert body["thumbnails"] is None
    assert body["view_details"] is None
    assert body["explain"] is None


def test_raw_body_and_multipart_give_the_same_answer(client: httpx.Client, video: Path) -> None:
    raw = client.post("/classify", content=video.read_bytes(), headers={"content-type": "video/mp4"}).json()
    assert raw["predictions"] == post(client, video)["predictions"]
    assert raw["frames"] == post(client, video)["frames"]


def test_query_options_are_obeyed(client: httpx.Client, video: Path) -> None:
    body = post(
        client, video, views="1x1", top_k=1, frames=False, thumbnails=True, view_details=True, model="untrained"
    )
    assert body["views"] == {"temporal": 1, "spatial": 1, "used": 1, "sampling": "laps_uniform"}
    assert len(body["predictions"]) == 1
    assert body["frames"] is None
    assert all(base64.b64decode(item["jpeg"]).startswith(b"\xff\xd8") for item in body["thumbnails"])
    assert [frame["index"] for frame in body["view_details"][0]["frames"]] == [0, 2, 4, 7]
    assert any("untrained" in warning for warning in body["warnings"])


@pytest.mark.parametrize("asked", [(), ("view_details",), ("explain",), ("view_details", "explain")], ids=str)
def test_details_of_views_are_where_they_were_asked_for(
    client: httpx.Client, video: Path, asked: tuple[str, ...]
) -> None:
    body = post(client, video, views="1x1", **dict.fromkeys(asked, "true"))
    filled = {name: body[name] for name in ("view_details", "explain") if body[name] is not None}
    assert filled.keys() == set(asked)
    for details in filled.values():
        assert [frame["index"] for frame in details[0]["frames"]] == [0, 2, 4, 7]


def test_the_manifests_rule_of_sampling_is_followed_and_told(client: httpx.Client, video: Path) -> None:
    starts = {"colours": 6, "ordered": 12}  # of the second of two clips, in a video of 20 frames
    for model, start in starts.items():
        body = post(client, video, views="2x1", view_details=True, model=model)
        assert body["views"]["sampling"] == {"colours": "laps_uniform", "ordered": "uniform_in_order"}[model]
        first, second = ([frame["index"] for frame in view["frames"]] for view in body["view_details"])
        assert (first, second) == ([0, 2, 4, 7], [start, start + 2, start + 4, start + 7])


def test_segments_follow_the_rule_and_tell_it(client: httpx.Client, video: Path) -> None:
    body = post(client, video, views="2x1", segments="1.5s", model="ordered")
    assert [segment["views"]["sampling"] for segment in body["segments"]] == ["uniform_in_order"] * 2
    long, short = body["segments"]
    assert long["frames"]["index"] == [0, 2, 4, 7, 9, 11, 14]
    assert short["frames"]["index"] == [15, 16, 17, 19]
    assert (long["warnings"], body["warnings"]) == ([], [])
    assert short["warnings"] == [
        "the segment is short: 5 frames for clips of 8, so each clip spans all of it and motion looks slower"
    ]


def test_a_request_id_is_echoed_and_a_dangerous_one_replaced(client: httpx.Client, video: Path) -> None:
    content = video.read_bytes()
    kept = client.post("/classify", content=content, headers={"x-request-id": "trace-1"})
    assert (kept.headers["x-request-id"], kept.json()["request_id"]) == ("trace-1", "trace-1")
    replaced = client.post("/classify", content=content, headers={"x-request-id": "a b\tc"})
    assert replaced.headers["x-request-id"] == replaced.json()["request_id"] != "a b\tc"


@pytest.mark.parametrize(
    ("query", "status", "code", "said"),
    [
        ({"model": "missing"}, 404, "model_not_found", "colours, ordered, untrained"),
        ({"version": 9}, 404, "version_not_found", "1"),
        ({"views": "5"}, 422, "bad_parameter", "5x3"),
        ({"views": "5x2"}, 422, "bad_parameter", "3 crops"),
        ({"views": "65x3"}, 422, "bad_parameter", "64"),
        ({"views": "0x1"}, 422, "bad_parameter", "1 to 64"),
        ({"top_k": 0}, 422, "bad_parameter", "/docs"),
        ({"top_k": 5}, 422, "bad_parameter", "1 to 4"),
        ({"top_k": "many"}, 422, "bad_parameter", "/docs"),
        ({"topk": 3}, 422, "bad_parameter", "top_k"),
        ({"views": ["1x1", "5x3"]}, 422, "bad_parameter", "once"),
        ({"deadline_ms": 10**9}, 422, "bad_parameter", "at most 1800000"),
        ({"deadline_ms": 10**400}, 422, "bad_parameter", "/docs"),
        ({"version": "9" * 300}, 422, "bad_parameter", "/docs"),
    ],
)
def test_wrong_options_are_told_with_what_is_right(
    client: httpx.Client, video: Path, query: dict[str, Any], status: int, code: str, said: str
) -> None:
    error = error_of(client.post("/classify", params=query, content=video.read_bytes()), status, code)
    assert said in error["hint"]


def test_a_deadline_that_cannot_be_kept_is_504(client: httpx.Client, video: Path) -> None:
    error_of(client.post("/classify", params={"deadline_ms": 1}, content=video.read_bytes()), 504, "deadline_exceeded")


def test_a_deadline_that_passes_during_the_upload_says_so(client: httpx.Client, video: Path) -> None:
    def body() -> Iterator[bytes]:
        yield video.read_bytes()
        time.sleep(0.6)
        yield b"\0"

    response = client.post("/classify", params={"deadline_ms": 200}, content=body())
    assert "arrival" in error_of(response, 504, "deadline_exceeded")["hint"]


def test_an_empty_file_is_called_empty(client: httpx.Client) -> None:
    as_body = client.post("/classify", content=b"", headers={"content-type": "video/mp4"})
    as_field = client.post("/classify", files={"file": b""})
    for response in (as_body, as_field):
        assert "empty" in error_of(response, 415, "unsupported_container")["message"]


def multipart(*parts: tuple[str, str | None, bytes], boundary: str = "b", end: bool = True) -> bytes:
    body = b""
    for name, filename, data in parts:
        tail = f'; filename="{filename}"' if filename is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'.encode() + data + b"\r\n"
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


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


def test_a_path_cannot_write_log_lines(client: httpx.Client, log: list[str]) -> None:
    client.get("/x%0a2026-01-01%20INFO%20[forged]%20all%20is%20well%1b[31m")
    deadline = time.monotonic() + 5
    while not any("all is well" in line for line in log) and time.monotonic() < deadline:
        time.sleep(0.05)
    (line,) = [line for line in log if "all is well" in line]
    assert "GET /x\\n2026" in line
    assert "\x1b" not in line


def test_a_trailing_slash_is_not_redirected(client: httpx.Client) -> None:
    error_of(client.post("/classify/", content=b"x", headers={"host": "evil.example"}), 404, "not_found")


def test_a_packed_body_is_refused_with_its_reason(client: httpx.Client, video: Path) -> None:
    response = client.post("/classify", content=video.read_bytes(), headers={"content-encoding": "gzip"})
    assert "gzip" in error_of(response, 422, "bad_parameter")["message"]


def test_a_hostile_file_name_changes_nothing(client: httpx.Client, video: Path) -> None:
    for name in ("../../../etc/passwd", "a\0b.mp4", "http://127.0.0.1/x.m3u8", "'\"; rm -rf /"):
        response = client.post("/classify", files={"file": (name, video.read_bytes())})
        assert response.status_code == 200, response.text


def test_unknown_paths_and_methods_have_the_envelope_too(client: httpx.Client) -> None:
    error_of(client.get("/nothing"), 404, "not_found")
    error_of(client.get("/classify"), 405, "method_not_allowed")


def test_models_lists_names_versions_and_limits(client: httpx.Client) -> None:
    body = client.get("/models").json()
    assert [(item["name"], item["versions"], item["default"]) for item in body["models"]] == [
        ("colours", [1], True),
        ("ordered", [1], False),
        ("untrained", [1], False),
    ]
    assert body["limits"]["max_upload_bytes"] == MAX_UPLOAD_BYTES


def test_one_model_is_shown_in_full(client: httpx.Client) -> None:
    body = client.get("/models/colours").json()
    assert body["label_names"] == ["red", "green", "blue", "dark"]
    assert body["input"]["frames"] == 4
    assert body["metrics"] == {"top1": 1.0}
    error_of(client.get("/models/nothing"), 404, "model_not_found")
    error_of(client.get("/models/colours", params={"version": 3}), 404, "version_not_found")
    error_of(client.get("/models/colours", params={"version": 0}), 422, "bad_parameter")


def test_health_and_the_openapi_page(client: httpx.Client) -> None:
    assert client.get("/livez").json()["status"] == "ok"
    assert client.get("/readyz").status_code == 200
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/classify"]["post"]
    assert set(operation["requestBody"]["content"]) >= {"multipart/form-data", "application/octet-stream"}
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "model",
        "version",
        "top_k",
        "views",
        "frames",
        "deadline_ms",
        "thumbnails",
        "view_details",
        "explain",
        "segments",
    }
    assert [item["name"] for item in operation["parameters"] if item.get("deprecated")] == ["explain"]
    fields = document["components"]["schemas"]["ClassifyResponse"]["properties"]
    assert [name for name, field in fields.items() if field.get("deprecated")] == ["explain"]


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE], ids=["red", "green", "blue"])
def test_every_label_can_win(client: httpx.Client, folder: Path, colour: tuple[int, int, int]) -> None:
    video = write_colour_video(folder / f"{colour}.avi", [colour] * 16)
    best = post(client, video)["predictions"][0]
    assert best["label"] == {RED: "red", GREEN: "green", BLUE: "blue"}[colour]
