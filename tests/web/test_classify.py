"""A video through the page: progress, curves, seeking, what stands in for the player, errors, cancel."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from support.browser import PATIENCE_MS, Axes, corners, flat, wait_for_answer, wait_until
from support.live_servers import ServerProcess

Ask = Callable[..., dict[str, Any]]

_FOLLOW = """() => {
  window.told = {stages: [], shares: [], rankings: []};
  const texts = (records) => records.flatMap((record) => [...record.addedNodes].map((node) => node.textContent));
  new MutationObserver((records) => told.stages.push(...texts(records)))
    .observe(document.querySelector('#stage'), {childList: true});
  new MutationObserver(() => told.shares.push(document.querySelector('#bar').value))
    .observe(document.querySelector('#bar'), {attributes: true});
  new MutationObserver(() => told.rankings.push(document.querySelector('#ranking').className))
    .observe(document.querySelector('#ranking'), {attributes: true, attributeFilter: ['class']});
}"""


def time_of(page: Page) -> float:
    return float(page.locator("#chart").get_attribute("aria-valuenow") or "nan")


def wait_for_time(page: Page, time: float) -> None:
    wait_until(page, "(t) => Math.abs(document.querySelector('#chart').ariaValueNow - t) < 0.06", time)


def test_an_upload_shows_its_way_and_then_the_answer(opened: Any, video: Path, ask: Ask) -> None:
    page = opened()
    page.evaluate(_FOLLOW)
    page.set_input_files("#file", video)
    wait_for_answer(page)
    told = page.evaluate("told")
    assert "Uploaded" in told["stages"]
    for stage in ["Decoding", "Classifying", *(f"Classifying, view {n} of 4" for n in (1, 2, 3, 4))]:
        assert stage in told["stages"]
    assert told["stages"].index("Uploaded") < told["stages"].index("Decoding")
    assert told["shares"][-1] == 1
    assert (told["rankings"][0], told["rankings"][-1]) == ("is-partial", "")

    answer = ask(video)
    names = page.locator("#ranking .name").all_text_contents()
    assert names == [item["label"] for item in answer["predictions"]]
    shown = [float(text.strip("<% ")) / 100 for text in page.locator("#ranking .value").all_text_contents()]
    assert shown == pytest.approx([item["score"] for item in answer["predictions"]], abs=0.006)
    expect(page.locator("#video-facts")).to_have_text(
        "64 \N{MULTIPLICATION SIGN} 48 · h264 in mp4 · 10 fps · 6.4 s · 64 frames"
    )
    assert page.locator(".timing-list dt").all_text_contents() == ["upload", "decode", "queue", "infer", "total"]
    expect(page.locator("#provenance")).to_contain_text("colours version 1, 4 views, request ")


MEANWHILE = """() => document.querySelector("#stage").textContent.includes(" of 20") && {
    progress: document.querySelector("#progress").checkVisibility(),
    labels: document.querySelectorAll("#ranking .name").length,
    provenance: document.querySelector("#provenance").textContent,
}"""


def test_partial_results_are_there_while_views_still_wait(opened: Any, video: Path) -> None:
    page = opened("?model=slow&views=20x1")
    page.set_input_files("#file", video)
    # Looked at in one go: by the next question the answer may be there.
    seen = page.wait_for_function(MEANWHILE, timeout=PATIENCE_MS).json_value()
    assert seen == {"progress": True, "labels": 4, "provenance": ""}
    wait_for_answer(page)


def test_each_curve_goes_through_the_scores_of_the_answer(opened: Any, video: Path, ask: Ask) -> None:
    page = opened(file=video)
    frames = ask(video)["frames"]
    axes = Axes.of(page.locator("#chart svg"))
    assert len(frames["time_s"]) > 8
    for column, label in enumerate(frames["labels"]):
        series = page.locator(f'#chart .series[data-label="{label}"]')
        expected = [
            (axes.x(time), axes.y(row[column])) for time, row in zip(frames["time_s"], frames["scores"], strict=True)
        ]
        drawn = corners(series.locator(".curve").get_attribute("d") or "")
        assert flat(drawn) == pytest.approx(flat(expected), abs=0.05)
        dots = series.locator(".dot").all()
        centres = [float(dot.get_attribute(name) or "") for dot in dots for name in ("cx", "cy")]
        assert centres == pytest.approx(flat(drawn), abs=0.011)
    assert page.locator("#chart .series").count() == len(frames["labels"])


def test_curves_tell_the_story_of_the_video(opened: Any, video: Path) -> None:
    """Red for 2.4 s, then green for as long, then blue: the legend says what is highest at the time."""
    page = opened(file=video)
    for time, best in [(1.0, "red"), (3.6, "green")]:
        page.evaluate("(t) => { document.querySelector('#screen video').currentTime = t }", time)
        wait_for_time(page, time)
        scores = {
            chip.locator(".chip-name").text_content(): float(chip.locator(".chip-score").inner_text().strip("<% "))
            for chip in page.locator("#legend .chip").all()
        }
        assert max(scores, key=lambda label: scores[label]) == best


def test_a_click_into_the_plot_seeks(opened: Any, video: Path) -> None:
    page = opened(file=video)
    plot = page.locator("#chart")
    axes = Axes.of(plot.locator("svg"))
    for time in (4.0, 1.5):
        plot.click(position={"x": axes.x(time), "y": 120})
        wait_for_time(page, time)
        assert page.evaluate("document.querySelector('#screen video').currentTime") == pytest.approx(time, abs=0.06)
        transform = page.locator("#chart .playhead").get_attribute("transform") or ""
        assert float(re.findall(r"[0-9.]+", transform)[0]) == pytest.approx(axes.x(time), abs=5)


def test_keys_seek_from_frame_to_frame(opened: Any, video: Path, ask: Ask) -> None:
    page = opened(file=video)
    times = ask(video)["frames"]["time_s"]
    page.focus("#chart")
    for key, time in [
        ("ArrowRight", times[1]),
        ("ArrowRight", times[2]),
        ("ArrowLeft", times[1]),
        ("End", 6.4),
        ("PageDown", 5.76),
        ("Home", 0.0),
    ]:
        page.keyboard.press(key)
        wait_for_time(page, time)
    assert re.match(r"0\.0 s: red \d\d", page.locator("#chart").get_attribute("aria-valuetext") or "")


def test_the_playhead_moves_as_the_video_plays(opened: Any, video: Path) -> None:
    page = opened(file=video)
    page.focus("#chart")
    page.keyboard.press(" ")
    wait_until(page, "() => document.querySelector('#chart').ariaValueNow > 0.5")
    page.keyboard.press(" ")
    wait_until(page, "() => document.querySelector('#screen video').paused")


def test_the_strip_shows_the_sampled_frames_and_seeks(opened: Any, video: Path, ask: Ask) -> None:
    page = opened(file=video)
    times = ask(video)["frames"]["time_s"]
    frames = page.locator(".filmstrip .frame")
    assert frames.count() == len(times)
    frames.nth(3).click()
    wait_for_time(page, times[3])
    expect(frames.nth(3)).to_have_attribute("aria-current", "true")
    page.keyboard.press("ArrowRight")
    wait_for_time(page, times[4])
    expect(frames.nth(4)).to_be_focused()


def test_a_switch_of_the_legend_takes_a_curve_away(opened: Any, video: Path) -> None:
    page = opened(file=video)
    switch = page.locator("#legend").get_by_role("button", name="green")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false")
    expect(page.locator('#chart .series[data-label="green"]')).to_have_count(0)
    expect(page.locator('#chart .series[data-label="red"]')).to_have_count(1)
    switch.click()
    expect(page.locator('#chart .series[data-label="green"]')).to_have_count(1)


def test_the_table_holds_the_same_numbers(opened: Any, video: Path, ask: Ask) -> None:
    page = opened(file=video)
    page.get_by_text("Scores as a table").click()
    frames = ask(video)["frames"]
    assert page.locator("#score-table thead th").all_text_contents() == ["time", *frames["labels"]]
    rows = page.locator("#score-table tbody tr")
    assert rows.count() == len(frames["time_s"])
    first = [float(text.strip("<% ")) / 100 for text in rows.first.locator("td").all_text_contents()]
    assert first == pytest.approx(frames["scores"][0], abs=0.006)


def test_frames_stand_in_where_the_browser_cannot_play(opened: Any, avi: Path, ask: Ask) -> None:
    page = opened(file=avi)
    times = ask(avi)["frames"]["time_s"]
    expect(page.locator(".sampled-frame-note")).to_have_text(
        "This browser cannot play this AVI file. The sampled frames are shown instead."
    )
    assert page.locator("#screen video").count() == 0
    assert page.locator(".filmstrip img").count() == len(times)
    plot = page.locator("#chart")
    axes = Axes.of(plot.locator("svg"))
    seen = set()
    for time in (0.5, 3.5):
        plot.click(position={"x": axes.x(time), "y": 100})
        wait_for_time(page, time)
        nearest = min(times, key=lambda each: abs(each - time))
        still = page.get_by_role("img", name=f"Frame at {nearest:.1f} s")
        expect(still).to_be_visible()
        assert still.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 42
        seen.add(still.get_attribute("src"))
    assert len(seen) == 2
    page.locator("#chart").press("ArrowRight")
    wait_for_time(page, min(time for time in times if time > 3.52))


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
    server.wait_for(re.compile("the client left the stream"))
    expect(page.get_by_role("button", name="Classify again")).to_be_enabled()


def test_what_is_no_video_is_told_in_words(opened: Any, tmp_path: Path, server: ServerProcess) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("not a video\n" * 100)
    page = opened()
    page.set_input_files("#file", notes)
    alert = page.get_by_role("alert")
    alert.locator(".error-panel").wait_for(timeout=PATIENCE_MS)
    expect(alert).to_contain_text("This file is not a video that the server can open")
    expect(alert.locator(".hint")).to_contain_text("MP4")
    code, request_id = alert.locator("code").all_text_contents()
    assert code == "unsupported_container"
    assert any(request_id in line for line in server.log)
    assert not page.locator("#result").is_visible()


@pytest.mark.noisy
def test_a_refused_choice_is_told_with_its_hint(opened: Any, video: Path) -> None:
    page = opened("?segments=0.5s")
    page.set_input_files("#file", video)
    alert = page.get_by_role("alert")
    alert.locator(".error-panel").wait_for(timeout=PATIENCE_MS)
    expect(alert).to_contain_text("The server does not accept one of the options")
    assert alert.locator("code").first.text_content() == "bad_parameter"
    page.select_option("#segments", "")
    page.get_by_role("button", name="Try again").click()
    wait_for_answer(page)
    expect(page.locator("#errors")).to_be_empty()


def test_a_file_over_the_limit_is_not_sent(opened: Any, video: Path) -> None:
    page = opened()

    def lower(route: Any) -> None:
        response = route.fetch()
        body = response.json()
        body["limits"]["max_upload_bytes"] = 1000
        route.fulfill(response=response, json=body)

    page.route("**/models", lower)
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", video)
    expect(page.get_by_role("alert")).to_contain_text("the server takes at most 1000 bytes")
    assert not any("/classify" in url for url in opened.watched.requests)


def test_a_stream_that_breaks_off_is_an_error(opened: Any, video: Path) -> None:
    page = opened()
    cut = 'event: accepted\ndata: {"request_id": "x"}\n\nevent: result\ndata: {"request'
    page.route("**/classify?*", lambda route: route.fulfill(content_type="text/event-stream", body=cut))
    page.set_input_files("#file", video)
    expect(page.get_by_role("alert")).to_contain_text("The connection closed before the answer arrived")


@pytest.mark.noisy
def test_a_server_that_cannot_be_reached_is_told(opened: Any, video: Path) -> None:
    page = opened()
    page.route("**/classify?*", lambda route: route.abort("connectionrefused"))
    page.set_input_files("#file", video)
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    page.unroute("**/classify?*")
    page.get_by_role("button", name="Try again").click()
    wait_for_answer(page)
