"""Every route but the pages, on a real server process over real HTTP."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.classify_requests import MAX_UPLOAD_BYTES, error_of, post
from support.plain_videos import BLUE, GREEN, RED, write_colour_video


def test_the_answer_has_every_documented_part(client: httpx.Client, video: Path) -> None:
    body = post(client, video, top_k=4)
    assert body["model"] == {"name": "colours", "version": 1, "engine": "ort", "precision": "float32"}
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


@pytest.mark.parametrize(
    ("model", "kind", "spans"),
    [
        ("colours", "frame", [(index, index) for index in (0, 2, 4, 6, 7, 8, 10, 13)]),
        ("steps", "step", [(0, 2), (4, 7), (6, 8), (10, 13)]),
        ("whole", "clip", [(0, 7), (6, 13)]),
    ],
)
def test_rows_over_time_say_from_when_to_when_they_speak(
    client: httpx.Client, video: Path, model: str, kind: str, spans: list[tuple[int, int]]
) -> None:
    frames = post(client, video, model=model)["frames"]
    assert frames["kind"] == kind
    firsts, lasts = ([round(seconds * 10) for seconds in frames[key]] for key in ("from_s", "to_s"))
    assert [*zip(firsts, lasts, strict=True)] == spans  # in a video of 10 frames a second
    assert frames["time_s"] == pytest.approx([(first + last) / 20 for first, last in spans])
    assert frames["index"] == [first if kind == "frame" else None for first, _ in spans]
    assert len(frames["scores"]) == len(spans)


def test_chosen_labels_keep_their_scores(client: httpx.Client, video: Path) -> None:
    scores = {item["label"]: item["score"] for item in post(client, video, top_k=4)["predictions"]}
    for labels in ("dark,blue", ["dark", "blue"]):
        body = post(client, video, labels=labels)
        assert [(item["label"], item["score"]) for item in body["predictions"]] == [
            ("blue", scores["blue"]),
            ("dark", scores["dark"]),
        ]
        assert body["frames"]["labels"] == ["blue", "dark"]
        assert body["margin"] == pytest.approx(scores["blue"] - scores["dark"])


def test_doubt_and_an_embedding_are_told_of_the_whole_and_of_segments(client: httpx.Client, video: Path) -> None:
    body = post(client, video, model="steps", embedding=True, segments="1.2s")
    assert [segment["agreement"] for segment in body["segments"]] == [1.0, 1.0]
    assert body["agreement"] == 0.5
    for part in (body, *body["segments"]):
        first, second, *_ = (item["score"] for item in part["predictions"])
        assert part["margin"] == pytest.approx(first - second)
        assert sum(number * number for number in part["embedding"]) == pytest.approx(1, abs=1e-5)
    assert post(client, video, model="steps")["embedding"] is None


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
        ({"model": "missing"}, 404, "model_not_found", "colours, ordered, steps, untrained, whole"),
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
        ({"labels": "red,gren"}, 422, "unknown_label", "did you mean green?"),
        ({"labels": ["red", "gren"]}, 422, "unknown_label", "did you mean green?"),
        ({"labels": ""}, 422, "bad_parameter", "labels=red,blue"),
        ({"embedding": True}, 422, "no_embedding", "models that give one: steps"),
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


def test_unknown_paths_and_methods_have_the_envelope_too(client: httpx.Client) -> None:
    error_of(client.get("/nothing"), 404, "not_found")
    error_of(client.get("/classify"), 405, "method_not_allowed")


def test_models_lists_names_versions_and_limits(client: httpx.Client) -> None:
    body = client.get("/models").json()
    assert [(item["name"], item["versions"], item["default"]) for item in body["models"]] == [
        ("colours", [1], True),
        ("ordered", [1], False),
        ("steps", [1], False),
        ("untrained", [1], False),
        ("whole", [1], False),
    ]
    assert body["limits"]["max_upload_bytes"] == MAX_UPLOAD_BYTES


def test_one_model_is_shown_in_full(client: httpx.Client) -> None:
    body = client.get("/models/colours").json()
    assert body["label_names"] == ["red", "green", "blue", "dark"]
    assert body["input"]["frames"] == 4
    assert body["metrics"] == {"top1": 1.0}
    assert (body["output"], body["steps"], body["average"]) == ("per_frame", None, "logits")
    assert (body["embedding"], body["max_batch"]) == (None, None)
    assert body["precisions"] == {"float32": {"max_abs_diff": 0.0, "tolerance": 0.001, "engines": []}}
    other = client.get("/models/steps").json()
    assert (other["output"], other["steps"], other["average"]) == ("per_step", [[0, 1], [2, 3]], "probabilities")
    assert other["embedding"] == {"size": 3}
    assert [other["input"][key] for key in ("long_side", "crop_order", "crop_offset")] == ["floor", "along", "up"]
    (record,) = client.get("/models/ordered").json()["precisions"]["float32"]["engines"]
    assert (record["engine"], record["views"], record["holds"]) == ("ort", 9, False)
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
        "labels",
        "embedding",
    }
    assert [item["name"] for item in operation["parameters"] if item.get("deprecated")] == ["explain"]
    fields = document["components"]["schemas"]["ClassifyResponse"]["properties"]
    assert [name for name, field in fields.items() if field.get("deprecated")] == ["explain"]


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE], ids=["red", "green", "blue"])
def test_every_label_can_win(client: httpx.Client, folder: Path, colour: tuple[int, int, int]) -> None:
    video = write_colour_video(folder / f"{colour}.avi", [colour] * 16)
    best = post(client, video)["predictions"][0]
    assert best["label"] == {RED: "red", GREEN: "green", BLUE: "blue"}[colour]
