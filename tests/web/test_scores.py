"""What shows the scores: chart, legend, filmstrip and table, and how each seeks in the video."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from support.browser import Axes, Classify, curve, flat, wait_until


def wait_for_time(page: Page, time: float) -> None:
    wait_until(page, "(t) => Math.abs(document.querySelector('#chart').ariaValueNow - t) < 0.06", time)


@pytest.mark.parametrize(
    ("model", "views", "kind", "rows"),
    [
        ("colours", "4x1", "frame", 16),
        ("steps", "4x1", "step", 8),
        ("whole", "6x1", "clip", 6),
        ("whole", "1x1", "clip", 1),
    ],
)
def test_each_curve_goes_through_the_scores_of_the_answer(
    opened: Any, video: Path, classify: Classify, model: str, views: str, kind: str, rows: int
) -> None:
    """It begins where the first row begins and ends where the last one ends; a single row is a level line."""
    page = opened(f"?model={model}&views={views}", file=video)
    frames = classify(video, model=model, views=views)["frames"]
    axes = Axes.of(page.locator("#chart svg"))
    assert (frames["kind"], len(frames["time_s"])) == (kind, rows)
    for column, label in enumerate(frames["labels"]):
        expected = [
            (axes.x(time), axes.y(row[column])) for time, row in zip(frames["time_s"], frames["scores"], strict=True)
        ]
        middles = expected
        if kind != "frame":
            expected = [
                (axes.x(frames["from_s"][0]), expected[0][1]),
                *expected,
                (axes.x(frames["to_s"][-1]), expected[-1][1]),
            ]
            assert expected[0][0] < middles[0][0]
            assert middles[-1][0] < expected[-1][0]
        drawn = curve(page, label)
        assert flat(drawn) == pytest.approx(flat(expected), abs=0.05)
        dots = page.locator(f'#chart .series[data-label="{label}"] .dot').all()
        centres = [float(dot.get_attribute(name) or "") for dot in dots for name in ("cx", "cy")]
        assert centres == pytest.approx(flat(drawn if kind == "frame" else drawn[1:-1]), abs=0.011)
        assert len(dots) == rows
    assert page.locator("#chart .series").count() == len(frames["labels"])


def test_the_legend_shows_the_scores_at_the_time(opened: Any, video: Path) -> None:
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


def test_a_click_into_the_chart_seeks(opened: Any, video: Path) -> None:
    page = opened(file=video)
    plot = page.locator("#chart")
    axes = Axes.of(plot.locator("svg"))
    for time in (4.0, 1.5):
        plot.click(position={"x": axes.x(time), "y": 120})
        wait_for_time(page, time)
        assert page.evaluate("document.querySelector('#screen video').currentTime") == pytest.approx(time, abs=0.06)
        transform = page.locator("#chart .playhead").get_attribute("transform") or ""
        assert float(re.findall(r"[0-9.]+", transform)[0]) == pytest.approx(axes.x(time), abs=5)


def test_keys_seek_from_frame_to_frame(opened: Any, video: Path, classify: Classify) -> None:
    page = opened(file=video)
    times = classify(video)["frames"]["time_s"]
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


def test_the_filmstrip_shows_the_sampled_frames_and_seeks(opened: Any, video: Path, classify: Classify) -> None:
    page = opened(file=video)
    times = classify(video)["frames"]["time_s"]
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


@pytest.mark.parametrize(
    ("query", "head", "first", "title", "note"),
    [
        ("?model=colours", "time", "0.0 s", "Frame at 0.0 s: red, ", "One score for each sampled frame."),
        ("?model=steps", "step", "0.0 s to 0.2 s", "Step 0.0 s to 0.2 s: red, ", "One score for each step of a few "),
        ("?model=whole", "clip", "0.0 s to 0.7 s", "Clip 0.0 s to 0.7 s: red, ", "One score for each clip, drawn "),
        ("?segments=2s", "segment", "0.0 s to 2.0 s", "0.0 s to 2.0 s: red, ", "One score for each segment."),
    ],
    ids=["frame", "step", "clip", "segment"],
)
def test_rows_are_named_after_what_they_are(
    opened: Any, video: Path, query: str, head: str, first: str, title: str, note: str
) -> None:
    page = opened(query, file=video)
    expect(page.locator("#curve-note")).to_contain_text(note)
    assert (page.locator("#chart title").first.text_content() or "").startswith(title)
    page.get_by_text("Scores as a table").click()
    assert page.locator("#score-table thead th").first.text_content() == head
    assert page.locator("#score-table tbody th").first.text_content() == first


def test_many_sampled_frames_are_thinned_out(opened: Any, video: Path, classify: Classify) -> None:
    """So that the filmstrip of a model that looks at every frame is no wall of the same picture."""
    page = opened("?views=30x1", file=video)
    times = classify(video, views="30x1")["frames"]["time_s"]
    assert len(times) > 48
    frames = page.locator(".filmstrip .frame")
    assert frames.all_text_contents() == [f"{time:.1f} s" for time in times[::2]]
    page.evaluate("document.querySelector('#screen video').currentTime = 4.0")
    page.locator("#filmstrip").scroll_into_view_if_needed()
    current = page.locator(".filmstrip .frame[aria-current]")
    expect(current).to_have_attribute("aria-label", re.compile(r"Frame at (3\.9|4\.0|4\.1) s"))
    expect(current).to_be_in_viewport(ratio=0.9)


def test_an_axis_has_a_mark_at_its_end_however_narrow(opened: Any) -> None:
    """A video is seldom a whole number of seconds long."""
    ticks = opened().evaluate(
        "async () => (await import(new URL('web/js/scale.js', location.href).href)).timeTicks(4.004, 2).ticks"
    )
    assert ticks == [0, 2, 4]


def test_the_table_holds_the_same_numbers(opened: Any, video: Path, classify: Classify) -> None:
    page = opened(file=video)
    page.get_by_text("Scores as a table").click()
    frames = classify(video)["frames"]
    assert page.locator("#score-table thead th").all_text_contents() == ["time", *frames["labels"]]
    rows = page.locator("#score-table tbody tr")
    assert rows.count() == len(frames["time_s"])
    first = [float(text.strip("<% ")) / 100 for text in rows.first.locator("td").all_text_contents()]
    assert first == pytest.approx(frames["scores"][0], abs=0.006)


def test_sampled_frames_are_shown_if_the_browser_cannot_play(opened: Any, avi: Path, classify: Classify) -> None:
    page = opened(file=avi)
    times = classify(avi)["frames"]["time_s"]
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
