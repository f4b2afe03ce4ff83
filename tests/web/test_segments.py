"""A video in segments, drawn along its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from pydantic import BaseModel

from laps_server.api.schemas import AcceptedEvent, ClassifyResponse, DecodedEvent, ErrorEvent, SegmentEvent
from support.browser import PATIENCE_MS, Axes, Classify, curve, flat, wait_for_answer
from support.model_repositories import LABELS


def test_segments_are_drawn_along_the_video(opened: Any, video: Path, classify: Classify) -> None:
    page = opened("?segments=2s&views=1x1&top_k=3", file=video)
    answer = classify(video, segments="2s", views="1x1", top_k=3)
    timeline = answer["timeline"]
    axes = Axes.of(page.locator("#chart svg"))
    cells = page.locator("#chart .segment-label")
    assert cells.evaluate_all("(cells) => cells.map((cell) => cell.dataset.label)") == [
        segment["predictions"][0]["label"] for segment in answer["segments"]
    ]
    boxes = [float(box.get_attribute("x") or "") for box in page.locator("#chart .segment-box").all()]
    assert boxes == pytest.approx([axes.x(start) for start in timeline["start_s"]], abs=0.05)
    assert len(boxes) == 4
    for column, label in enumerate(timeline["labels"]):
        expected = []
        for start, end, row in zip(timeline["start_s"], timeline["end_s"], timeline["scores"], strict=True):
            expected += [(axes.x(start), axes.y(row[column])), (axes.x(end), axes.y(row[column]))]
        assert flat(curve(page, label, 0)) == pytest.approx(flat(expected), abs=0.05)
    page.focus("#chart")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chart")).to_have_attribute("aria-valuenow", "2.00")


_COUNT_CELLS = """() => {
  window.drawn = [];
  new MutationObserver((records) => {
    for (const record of records) {
      for (const node of record.addedNodes) drawn.push(node.querySelectorAll?.('.segment-label').length ?? 0);
    }
  }).observe(document.querySelector('#chart'), {childList: true});
}"""


def test_segments_appear_as_they_are_done(opened: Any, video: Path) -> None:
    page = opened("?model=slow&segments=1s&views=3x1")
    page.evaluate(_COUNT_CELLS)
    page.set_input_files("#file", video)
    wait_for_answer(page)
    drawn = [count for count in page.evaluate("drawn") if count]
    assert drawn == sorted(drawn)
    assert (drawn[0], drawn[-1]) == (1, 7)
    assert len(set(drawn)) > 2


def test_a_long_timeline_is_not_drawn_anew_for_each_segment(opened: Any, video: Path) -> None:
    page = opened("?segments=2s")
    page.evaluate(_COUNT_CELLS)
    page.route("**/classify?*", lambda route: route.fulfill(content_type="text/event-stream", body=_an_hour(1800)))
    page.set_input_files("#file", video)
    wait_for_answer(page)
    drawn = [count for count in page.evaluate("drawn") if count]
    assert drawn[-1] == 1800
    assert len(drawn) < 60


@pytest.mark.parametrize("end", ["error", "cut"])
def test_segments_found_before_an_error_stay(opened: Any, video: Path, end: str) -> None:
    page = opened("?segments=2s")
    found, result, _ = _an_hour(10).partition("event: result")
    body = {"code": "decoder_crashed", "message": "it crashed", "hint": "convert it", "request_id": "x"}
    error = ErrorEvent.model_validate({"error": body, "status": 422, "retry_after_s": None})
    last = f"event: error\ndata: {error.model_dump_json()}\n\n" if end == "error" else result
    page.route("**/classify?*", lambda route: route.fulfill(content_type="text/event-stream", body=found + last))
    page.set_input_files("#file", video)
    page.get_by_role("alert").locator(".error-panel").wait_for(timeout=PATIENCE_MS)
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#chart .segment-label")).to_have_count(10)
    expect(page.locator("#chart")).to_be_visible()
    expect(page.locator("#warnings")).to_contain_text("found before the error")
    page.unroute("**/classify?*")
    page.get_by_role("button", name="Try again").click()
    wait_for_answer(page)
    expect(page.locator("#chart .segment-label")).to_have_count(4)
    expect(page.locator("#warnings")).not_to_contain_text("error")


def _an_hour(count: int) -> str:
    """The events of a video in so many segments of 2 s."""
    model = {"name": "colours", "version": 1, "engine": "ort", "precision": "float32"}
    grid = {"temporal": 1, "spatial": 1}
    views = grid | {"used": 1, "sampling": "laps_uniform"}
    shape = {"container": "mp4", "codec": "h264", "width": 64, "height": 48, "rotation": 0, "sample_aspect_ratio": None}
    facts = shape | {"stream_index": 0, "fps": 10, "duration_s": 2.0 * count, "frame_count": 20 * count}
    ranking = [{"label": label, "index": index, "score": 1 / len(LABELS)} for index, label in enumerate(LABELS)]
    certainty = {"agreement": 1.0, "margin": 0.0}
    common = certainty | {"predictions": ranking, "frames": None, "views": views, "thumbnails": None, "warnings": []}
    segments = [{"index": i, "start_s": 2.0 * i, "end_s": 2.0 * i + 2, **common} for i in range(count)]
    timeline = {
        "labels": list(LABELS),
        "start_s": [segment["start_s"] for segment in segments],
        "end_s": [segment["end_s"] for segment in segments],
        "scores": [[1 / len(LABELS)] * len(LABELS)] * count,
    }
    times = dict.fromkeys(("upload", "decode", "queue", "infer", "total"), 1.0)
    result = common | {"request_id": "x", "model": model, "views": views | {"used": count}, "video": facts}
    accepted = {"request_id": "x", "model": model, "views": grid, "upload_bytes": 1, "segment_s": 2.0}
    decoded = {"video": facts, "views_total": count, "segments_total": count, "warnings": []}
    events: list[tuple[str, type[BaseModel], dict[str, Any]]] = [
        ("accepted", AcceptedEvent, accepted),
        ("decoded", DecodedEvent, decoded),
        *(
            ("segment", SegmentEvent, each | {"segments_done": i + 1, "segments_total": count})
            for i, each in enumerate(segments)
        ),
        ("result", ClassifyResponse, result | {"timings_ms": times, "segments": segments, "timeline": timeline}),
    ]
    bodies = [(name, schema.model_validate(data).model_dump_json()) for name, schema, data in events]
    return "".join(f"event: {name}\ndata: {body}\n\n" for name, body in bodies)


def test_segments_of_a_file_that_cannot_be_played_have_a_frame_each(opened: Any, avi: Path) -> None:
    page = opened("?segments=2s&views=1x1", file=avi)
    expect(page.locator(".filmstrip img")).to_have_count(4)
    expect(page.get_by_role("img", name="Frame at")).to_be_visible()
