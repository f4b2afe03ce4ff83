"""A video through the page: where it comes from, progress, the answer, cancel."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from support.browser import PATIENCE_MS, Classify, wait_for_answer
from support.live_servers import ServerProcess

_FOLLOW = """() => {
  window.observed = {stages: [], shares: [], rankings: []};
  const texts = (records) => records.flatMap((record) => [...record.addedNodes].map((node) => node.textContent));
  new MutationObserver((records) => observed.stages.push(...texts(records)))
    .observe(document.querySelector('#stage'), {childList: true});
  new MutationObserver(() => observed.shares.push(document.querySelector('#bar').value))
    .observe(document.querySelector('#bar'), {attributes: true});
  new MutationObserver(() => observed.rankings.push(document.querySelector('#ranking').className))
    .observe(document.querySelector('#ranking'), {attributes: true, attributeFilter: ['class']});
}"""


def test_an_upload_shows_its_way_and_then_the_answer(opened: Any, video: Path, classify: Classify) -> None:
    page = opened()
    page.evaluate(_FOLLOW)
    page.set_input_files("#file", video)
    wait_for_answer(page)
    observed = page.evaluate("observed")
    assert "Uploaded" in observed["stages"]
    for stage in ["Decoding", "Classifying", *(f"Classifying, view {n} of 4" for n in (1, 2, 3, 4))]:
        assert stage in observed["stages"]
    assert observed["stages"].index("Uploaded") < observed["stages"].index("Decoding")
    assert observed["shares"][-1] == 1
    assert (observed["rankings"][0], observed["rankings"][-1]) == ("is-partial", "")

    answer = classify(video)
    names = page.locator("#ranking .name").all_text_contents()
    assert names == [item["label"] for item in answer["predictions"]]
    shown = [float(text.strip("<% ")) / 100 for text in page.locator("#ranking .value").all_text_contents()]
    assert shown == pytest.approx([item["score"] for item in answer["predictions"]], abs=0.006)
    expect(page.locator("#video-facts")).to_have_text(
        "64 \N{MULTIPLICATION SIGN} 48 · h264 in mp4 · 10 fps · 6.4 s · 64 frames"
    )
    assert page.locator(".timing-list dt").all_text_contents() == ["upload", "decode", "queue", "infer", "total"]
    expect(page.locator("#provenance")).to_contain_text("colours version 1, ort float32, 4 views, request ")


_BEFORE_THE_ANSWER = """() => document.querySelector("#stage").textContent.includes(" of 10") && {
    progress: document.querySelector("#progress").checkVisibility(),
    labels: document.querySelectorAll("#ranking .name").length,
    provenance: document.querySelector("#provenance").textContent,
}"""


def test_partial_results_are_there_while_views_still_wait(opened: Any, video: Path) -> None:
    page = opened("?model=slow&views=10x1")
    page.set_input_files("#file", video)
    # Looked at in one go: by the next question the answer may be there.
    seen = page.wait_for_function(_BEFORE_THE_ANSWER, timeout=PATIENCE_MS).json_value()
    assert seen == {"progress": True, "labels": 4, "provenance": ""}
    wait_for_answer(page)


def test_a_dropped_file_is_classified(opened: Any, video: Path) -> None:
    page = opened()
    page.evaluate(
        """async (content) => {
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], 'dropped.mp4', {type: 'video/mp4'}));
          const source = document.querySelector('#source');
          source.dispatchEvent(new DragEvent('dragenter', {dataTransfer, bubbles: true}));
          window.marked = source.classList.contains('is-over');
          source.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}));
        }""",
        base64.b64encode(video.read_bytes()).decode(),
    )
    assert page.evaluate("marked")
    wait_for_answer(page)
    expect(page.locator("#source-title")).to_have_text("dropped.mp4")
    assert not page.evaluate("document.querySelector('#source').classList.contains('is-over')")


def test_the_webcam_is_recorded_and_classified(opened: Any) -> None:
    page = opened()
    page.get_by_role("button", name="Record with the webcam").click()
    go = page.locator("#recorder-go")
    expect(go).to_be_enabled(timeout=PATIENCE_MS)
    go.click()
    page.locator("#recorder-status", has_text="Recording, 2 s").wait_for(timeout=PATIENCE_MS)
    go.click()
    wait_for_answer(page)
    expect(page.locator("#source-title")).to_have_text("webcam.webm")
    assert not page.locator("#recorder").is_visible()
    assert page.locator("#chart .curve").count() == 4
    # A recording does not say how long it is: the axis ends where the frames do.
    assert 1 < float(page.locator("#chart").get_attribute("aria-valuemax") or "0") < 60


def test_cancel_stops_the_work(opened: Any, video: Path, server: ServerProcess) -> None:
    page = opened("?model=slow&views=60x1")
    page.set_input_files("#file", video)
    page.locator("#stage", has_text=" of 60").wait_for(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="Cancelled")).to_have_count(1)
    server.wait_for(re.compile("the client left during its answer"))
    expect(page.get_by_role("button", name="Classify again")).to_be_enabled()
