"""JSON to dataclasses: newer servers are understood, broken answers are told where they break."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from laps_client import BadAnswer, Classification, ModelInfo, Models
from laps_client._parsing import Mismatch, from_json
from laps_client._responses import ReadResponse, result_of
from support.response_bodies import BODY

# What an older server does not answer.
NEWER = {
    *("segments", "timeline", "stream_index", "sampling", "view_details"),
    *("kind", "from_s", "to_s", "agreement", "margin", "embedding"),
    *("engine", "precision"),
}
WRITTEN = BODY | {"explain": BODY["view_details"]}  # the old name is written too


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key of every object in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from places(item, (*path, key))


def changed(path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    body = copy.deepcopy(BODY)
    holder: Any = body
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return body


def set_to(value: object) -> Callable[[Any, Any], None]:
    return lambda holder, key: holder.__setitem__(key, value)


PLACES = list(places(BODY))
PATH_IDS = [".".join(map(str, path)) for path in PLACES]


def test_an_answer_is_read_and_written_back() -> None:
    result = from_json(Classification, BODY)
    assert result.top.label == "a"
    assert result.frames is not None
    assert result.frames.curve("b") == (0.0, 0.5)
    assert result.segments is not None
    assert result.segments[0].top.score == 0.5
    assert result.timeline is not None
    assert result.timeline.curve("a") == (0.5,)
    assert type(result.frames.time_s[0]) is float
    assert result.to_dict() == WRITTEN


def test_results_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        from_json(Classification, BODY).request_id = "x"  # type: ignore[misc]


@pytest.mark.parametrize("path", PLACES, ids=PATH_IDS)
def test_an_extra_key_beside_any_other_is_left_out(path: tuple[Any, ...]) -> None:
    body = changed((*path[:-1], "of_a_newer_server"), set_to({"any": ["thing"]}))
    assert from_json(Classification, body).to_dict() == WRITTEN


def test_what_an_older_server_does_not_answer_is_none() -> None:
    older = {key: value for key, value in BODY.items() if key not in NEWER}
    for part in ("video", "views", "frames", "model"):
        older[part] = {key: value for key, value in BODY[part].items() if key not in NEWER}
    result = from_json(Classification, older)
    assert (result.segments, result.timeline, result.view_details) == (None, None, None)
    assert (result.video.stream_index, result.views.sampling) == (None, None)
    assert (result.model.engine, result.model.precision) == (None, None)
    assert (result.agreement, result.margin, result.embedding) == (None, None, None)
    assert result.frames is not None
    assert (result.frames.kind, result.frames.from_s, result.frames.to_s) == ("frame", None, None)
    unsaid = {
        "segments": None,
        "timeline": None,
        "view_details": None,
        "explain": None,
        "model": BODY["model"] | {"engine": None, "precision": None},
        "video": BODY["video"] | {"stream_index": None},
        "views": BODY["views"] | {"sampling": None},
        "frames": BODY["frames"] | {"kind": "frame", "from_s": None, "to_s": None},
        **dict.fromkeys(("agreement", "margin", "embedding")),
    }
    assert result.to_dict() == WRITTEN | unsaid


@pytest.mark.parametrize("path", [path for path in PLACES if not {path[-1]} & NEWER])
def test_a_missing_key_is_named(path: tuple[Any, ...]) -> None:
    with pytest.raises(Mismatch, match=rf"lacks {path[-1]}$"):
        from_json(Classification, changed(path, lambda holder, key: holder.pop(key)))


@pytest.mark.parametrize("path", PLACES, ids=PATH_IDS)
def test_a_value_of_another_type_is_named(path: tuple[Any, ...]) -> None:
    wrong = (
        "text"
        if not isinstance(BODY.get(path[-1]), str)
        and path[-1] not in ("label", "name", "engine", "precision", "jpeg", "sampling", "kind")
        else 3
    )
    if path in {("video", "container"), ("video", "codec"), ("video", "sample_aspect_ratio")}:
        wrong = 3
    with pytest.raises(Mismatch, match=str(path[-1])):
        from_json(Classification, changed(path, set_to(wrong)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("views", "used"), True, "views.used is true or false, not an integer"),
        (("views", "used"), 1.0, "views.used is a number, not an integer"),
        (("views", "used"), None, "views.used is null"),
        (("views",), None, "views is null, not an object"),
        (("video", "fps"), 10**400, "video.fps is out of range"),
        (("predictions",), [], "predictions is empty"),
        (("predictions",), {}, "predictions is an object, not a list"),
        (("frames", "scores", 1), [0.5], "a row of scores differs from labels"),
        (("frames", "time_s"), [0.0], "index, time_s and scores differ in length"),
        (("frames", "from_s"), [0.0], "from_s, to_s and time_s differ in length"),
        (("frames", "to_s"), [0.0, 1.0, 2.0], "from_s, to_s and time_s differ in length"),
        (("frames", "scores", 1, 0), "x", r"frames.scores\[1\]\[0\] is a string"),
        (("segments", 0, "predictions"), [], r"segments\[0\]: predictions is empty"),
        (("timeline", "end_s"), [], "start_s, end_s and scores differ in length"),
        (("timeline", "scores", 0), [], "a row of scores differs from labels"),
        (("thumbnails", 0, "jpeg"), "not base64!", r"thumbnails\[0\].jpeg is not base64"),
        (("thumbnails", 0, "jpeg"), "ü", r"thumbnails\[0\].jpeg is not base64"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(path: tuple[Any, ...], value: object, said: str) -> None:
    with pytest.raises(Mismatch, match=said):
        from_json(Classification, changed(path, set_to(value)))


@pytest.mark.parametrize("kind", [Classification, Models, ModelInfo])
def test_a_broken_answer_is_a_bad_answer_with_the_calls_id(kind: type[Classification]) -> None:
    with pytest.raises(BadAnswer, match="lacks") as caught:
        result_of(kind, ReadResponse(200, {}, b"{}"), "mine")
    assert (caught.value.status, caught.value.request_id) == (200, "mine")


@pytest.mark.parametrize("new", [{}, {"view_details": None}], ids=["missing", "null"])
def test_what_stands_under_a_fields_old_name_counts_where_the_new_one_says_nothing(new: dict[str, Any]) -> None:
    older = {key: value for key, value in BODY.items() if key != "view_details"}
    details = BODY["view_details"]
    assert from_json(Classification, {**older, "explain": details, **new}) == from_json(Classification, BODY)
    assert from_json(Classification, {**BODY, "explain": None}) == from_json(Classification, BODY)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>hello</html>", "not JSON, but text/html"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not an object"),
        (b'{"request_id": "x"}', "lacks model, predictions"),
    ],
    ids=["page", "bytes", "nesting", "list", "keys"],
)
def test_what_is_not_this_apis_answer_is_a_bad_answer(content: bytes, said: str) -> None:
    headers = {"content-type": "text/html; charset=utf-8"}
    with pytest.raises(BadAnswer, match=said) as caught:
        result_of(Classification, ReadResponse(200, headers, content), "mine")
    assert caught.value.request_id == "mine"
