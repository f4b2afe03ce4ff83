"""Compare mode, segments, the address, downloads, narrow and dark screens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from support.browser import PATIENCE_MS, Axes, corners, flat, wait_for_answer, wait_until
from support.model_repositories import LABELS

Ask = Callable[..., dict[str, Any]]


def series(page: Page, label: str, model: int) -> list[tuple[float, float]]:
    curve = page.locator(f'#chart .series[data-label="{label}"][data-model="{model}"] .curve')
    return corners(curve.get_attribute("d") or "")


def test_two_models_share_a_plot_solid_and_dashed(opened: Any, video: Path, ask: Ask) -> None:
    page = opened("?compare=paler&top_k=2", file=video)
    labels = [item["label"] for item in ask(video, top_k=2)["predictions"]]
    axes = Axes.of(page.locator("#chart svg"))
    for model, name in enumerate(["colours", "paler"]):
        frames = ask(video, model=name, top_k=4)["frames"]
        for label in labels:
            column = frames["labels"].index(label)
            expected = [
                (axes.x(time), axes.y(row[column]))
                for time, row in zip(frames["time_s"], frames["scores"], strict=True)
            ]
            assert flat(series(page, label, model)) == pytest.approx(flat(expected), abs=0.05)
    dashes = page.locator("#chart .curve").evaluate_all(
        "(curves) => curves.map((c) => [c.parentElement.dataset.model, getComputedStyle(c).strokeDasharray])"
    )
    assert len(dashes) == 4
    assert all((dash == "none") == (model == "0") for model, dash in dashes)
    assert page.locator("#legend .model").all_text_contents() == ["colours", "paler"]
    assert page.locator("#ranking li").first.locator(".value").count() == 2


def test_another_model_is_asked_without_asking_the_first_again(opened: Any, video: Path) -> None:
    page = opened(file=video)
    again = page.get_by_role("button", name="Classify again")
    expect(again).to_be_disabled()
    page.select_option("#compare", "paler")
    again.click()
    expect(page.locator("#chart .series[data-model='1']")).to_have_count(4, timeout=PATIENCE_MS)
    asked = [url for url in opened.watched.requests if "/classify" in url]
    assert [("model=colours" in url, "model=paler" in url) for url in asked] == [(True, False), (False, True)]
    expect(again).to_be_disabled()


def test_segments_are_drawn_along_the_video(opened: Any, video: Path, ask: Ask) -> None:
    page = opened("?segments=2s&views=1x1&top_k=3", file=video)
    answer = ask(video, segments="2s", views="1x1", top_k=3)
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
        assert flat(series(page, label, 0)) == pytest.approx(flat(expected), abs=0.05)
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


def test_of_what_comes_in_a_pause_the_last_is_done(opened: Any) -> None:
    done = opened().evaluate(
        """async () => {
          const { Throttle } = await import('/web/js/throttle.js');
          const done = [];
          const throttle = new Throttle(50);
          const rest = () => new Promise((resolve) => setTimeout(resolve, 300));
          for (const name of ['at once', 'overtaken', 'when the pause is over']) throttle.run(() => done.push(name));
          done.push('meanwhile');
          await rest();
          for (const name of ['again at once', 'at the end']) throttle.run(() => done.push(name));
          throttle.flush();
          for (const name of ['anew', 'dropped']) throttle.run(() => done.push(name));
          throttle.cancel();
          await rest();
          return done;
        }"""
    )
    assert done == ["at once", "meanwhile", "when the pause is over", "again at once", "at the end", "anew"]


def _an_hour(count: int) -> str:
    """The events of a video in so many segments of 2 s."""
    model = {"name": "colours", "version": 1}
    views = {"temporal": 1, "spatial": 1, "used": 1}
    shape = {"container": "mp4", "codec": "h264", "width": 64, "height": 48, "rotation": 0, "sample_aspect_ratio": None}
    facts = shape | {"fps": 10, "duration_s": 2.0 * count, "frame_count": 20 * count}
    ranking = [{"label": label, "index": index, "score": 1 / len(LABELS)} for index, label in enumerate(LABELS)]
    common = {"predictions": ranking, "frames": None, "views": views, "thumbnails": None, "warnings": []}
    segments = [{"index": i, "start_s": 2.0 * i, "end_s": 2.0 * i + 2, **common} for i in range(count)]
    timeline = {
        "labels": list(LABELS),
        "start_s": [segment["start_s"] for segment in segments],
        "end_s": [segment["end_s"] for segment in segments],
        "scores": [[1 / len(LABELS)] * len(LABELS)] * count,
    }
    times = dict.fromkeys(("upload", "decode", "queue", "infer", "total"), 1.0)
    result = common | {"request_id": "x", "model": model, "views": views | {"used": count}, "video": facts}
    events = [
        ("accepted", {"request_id": "x", "model": model, "views": views, "upload_bytes": 1, "segment_s": 2.0}),
        ("decoded", {"video": facts, "views_total": count, "segments_total": count, "warnings": []}),
        *(("segment", each | {"segments_done": i + 1, "segments_total": count}) for i, each in enumerate(segments)),
        ("result", result | {"timings_ms": times, "explain": None, "segments": segments, "timeline": timeline}),
    ]
    return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)


def test_segments_of_a_file_that_cannot_be_played_have_a_frame_each(opened: Any, avi: Path) -> None:
    page = opened("?segments=2s&views=1x1", file=avi)
    expect(page.locator(".filmstrip img")).to_have_count(4)
    expect(page.get_by_role("img", name="Frame at")).to_be_visible()


def test_choices_are_in_the_address_and_come_back_from_it(opened: Any, video: Path) -> None:
    page = opened()
    chosen = {"model": "paler", "compare": "slow", "views": "2x1", "segments": "5s", "top_k": "3"}
    for name, value in chosen.items():
        page.select_option(f"#{name}", value)
    query = "?model=paler&compare=slow&views=2x1&segments=5s&top_k=3"
    assert page.url.endswith(f"/{query}")
    other = opened(query)
    assert {name: other.locator(f"#{name}").input_value() for name in chosen} == chosen
    other.set_input_files("#file", video)
    wait_for_answer(other)
    assert other.url.endswith(f"/{query}")
    asked = [url for url in opened.watched.requests if "/classify" in url]
    assert len(asked) == 2
    assert all("views=2x1" in url and "segments=5s" in url for url in asked)
    for name in chosen:
        other.select_option(f"#{name}", "5" if name == "top_k" else "")
    assert other.url.endswith("/")


def test_a_link_to_what_is_not_served_says_so(opened: Any) -> None:
    page = opened("?model=gone&views=99x7&segments=5s")
    notes = page.locator("#errors .warning").all_text_contents()
    assert [("gone" in note, "99x7" in note) for note in notes] == [(True, False), (False, True)]
    assert page.locator("#model").input_value() == ""
    assert page.locator("#segments").input_value() == "5s"


def test_a_length_that_the_form_does_not_list_stays(opened: Any) -> None:
    page = opened("?segments=90s&views=7x3&top_k=4")
    shown = [page.locator(name).input_value() for name in ("#segments", "#views", "#top_k")]
    assert shown == ["90s", "7x3", "4"]


def download(page: Page, kind: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Download {kind}").click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_the_json_is_the_servers_own_answer(opened: Any, video: Path, ask: Ask) -> None:
    page = opened("?compare=paler", file=video)
    name, content = download(page, "JSON")
    assert name == "three colours.scores.json"
    first, second = json.loads(content)
    expected = ask(video, top_k=4, thumbnails=True)
    for body in (first, expected):
        del body["request_id"], body["timings_ms"]
    assert first == expected
    assert second["model"]["name"] == "paler"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plot_stands_alone_as_svg_and_png(opened: Any, video: Path, ask: Ask, scheme: str) -> None:
    page = opened("?compare=paler&top_k=2", file=video, color_scheme=scheme)
    name, content = download(page, "SVG")
    assert name == "three colours.scores.svg"
    root = ElementTree.fromstring(content)
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    labels = [item["label"] for item in ask(video, top_k=2)["predictions"]]
    assert words[:5] == ["three colours", "colours", "paler", *labels]
    drawn = [path for path in root.iter(f"{space}path") if "C" in path.get("d", "")]
    assert len(drawn) == 4
    assert {path.get("stroke-dasharray") == "none" for path in drawn} == {True, False}
    assert {path.get("stroke") for path in drawn} == {"rgb(31, 95, 208)", "rgb(200, 80, 10)"}
    assert all(element.get("class") is None and element.get("style") is None for element in root.iter())

    name, content = download(page, "PNG")
    assert name == "three colours.scores.png"
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] == 1920
    assert picture[0, 0].tolist() == [255, 255, 255]
    blue, red = picture[..., 0].astype(int), picture[..., 2].astype(int)
    assert ((blue - red) > 120).sum() > 500  # the first label's colour is in it
    assert ((red - blue) > 120).sum() > 500


def test_a_name_that_no_xml_may_hold_is_drawn_without_what_is_wrong_in_it(opened: Any, video: Path) -> None:
    page = opened("?views=1x1")
    name = "a\x01\x1b<\ufffeb\N{GRINNING FACE}&.mp4"
    page.set_input_files("#file", {"name": name, "mimeType": "video/mp4", "buffer": video.read_bytes()})
    wait_for_answer(page)
    root = ElementTree.fromstring(download(page, "SVG")[1])
    assert next(text.text for text in root.iter("{http://www.w3.org/2000/svg}text")) == "a<b\N{GRINNING FACE}&"
    assert download(page, "PNG")[1].startswith(b"\x89PNG")


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_everything_without_scrolling_sideways(opened: Any, video: Path, width: int) -> None:
    page = opened("?compare=paler", file=video, viewport={"width": width, "height": 800}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.evaluate(
        """(width) => [...document.querySelectorAll('main *')]
          .filter((each) => !each.closest('.filmstrip, .table-scroll, .visually-hidden'))
          .filter((each) => each.getBoundingClientRect().right > width + 0.5)
          .map((each) => each.outerHTML.slice(0, 80))""",
        width,
    )
    assert wide == []
    small = page.locator("button:visible, select:visible, label.button:visible").evaluate_all(
        "(all) => all.filter((each) => each.getBoundingClientRect().height < 32).map((each) => each.textContent)"
    )
    assert small == []
    axes = Axes.of(page.locator("#chart svg"))
    page.locator("#chart").tap(position={"x": axes.x(3.0), "y": 80})
    wait_until(page, "() => Math.abs(document.querySelector('#chart').ariaValueNow - 3) < 0.1")


def test_dark_and_light_follow_the_system(opened: Any) -> None:
    def lightness(page: Page) -> float:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3

    assert lightness(opened(color_scheme="light")) > 230
    assert lightness(opened(color_scheme="dark")) < 40
