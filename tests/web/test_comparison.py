"""Two models on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from support.browser import PATIENCE_MS, Axes, Classify, curve, flat


def test_two_models_share_a_chart_solid_and_dashed(opened: Any, video: Path, classify: Classify) -> None:
    page = opened("?compare=paler&top_k=2", file=video)
    labels = [item["label"] for item in classify(video, top_k=2)["predictions"]]
    axes = Axes.of(page.locator("#chart svg"))
    for model, name in enumerate(["colours", "paler"]):
        frames = classify(video, model=name, top_k=4)["frames"]
        for label in labels:
            column = frames["labels"].index(label)
            expected = [
                (axes.x(time), axes.y(row[column]))
                for time, row in zip(frames["time_s"], frames["scores"], strict=True)
            ]
            assert flat(curve(page, label, model)) == pytest.approx(flat(expected), abs=0.05)
    dashes = page.locator("#chart .curve").evaluate_all(
        "(curves) => curves.map((c) => [c.parentElement.dataset.model, getComputedStyle(c).strokeDasharray])"
    )
    assert len(dashes) == 4
    assert all((dash == "none") == (model == "0") for model, dash in dashes)
    assert page.locator("#legend .model").all_text_contents() == ["colours", "paler"]
    assert page.locator("#ranking li").first.locator(".value").count() == 2


def test_adding_a_model_sends_one_more_request(opened: Any, video: Path) -> None:
    page = opened(file=video)
    again = page.get_by_role("button", name="Classify again")
    expect(again).to_be_disabled()
    page.select_option("#compare", "paler")
    again.click()
    expect(page.locator("#chart .series[data-model='1']")).to_have_count(4, timeout=PATIENCE_MS)
    sent = [url for url in opened.watched.requests if "/classify" in url]
    assert [("model=colours" in url, "model=paler" in url) for url in sent] == [(True, False), (False, True)]
    expect(again).to_be_disabled()


def test_labels_of_different_models_are_not_taken_for_the_same(opened: Any, video: Path, classify: Classify) -> None:
    """Each model has its own best labels below its name, in colours of their own, though a label's name is in both."""
    page = opened("?model=kinetics&compare=colours&top_k=3", file=video)
    own = [classify(video, model=name, top_k=3) for name in ("kinetics", "colours")]
    labels = [[item["label"] for item in answer["predictions"]] for answer in own]
    assert "red" in labels[0]
    assert "red" in labels[1]
    axes = Axes.of(page.locator("#chart svg"))
    for model, answer in enumerate(own):
        frames = answer["frames"]
        for column, label in enumerate(frames["labels"]):
            middles = [
                (axes.x(time), axes.y(row[column]))
                for time, row in zip(frames["time_s"], frames["scores"], strict=True)
            ]
            drawn = curve(page, label, model)
            assert flat(drawn if model else drawn[1:-1]) == pytest.approx(flat(middles), abs=0.05)
    colours = page.locator("#chart .series").evaluate_all("(all) => all.map((each) => each.classList[1])")
    assert len(set(colours)) == len(colours) == 6

    ranking = page.locator("#ranking")
    assert ranking.locator("h3").all_text_contents() == ["kinetics", "colours"]
    for model in (0, 1):
        rows = ranking.locator("ol").nth(model).locator("li")
        assert rows.locator(".name").all_text_contents() == labels[model]
        shown = [float(text.strip("<% ")) / 100 for text in rows.locator(".value").all_text_contents()]
        assert shown == pytest.approx([item["score"] for item in own[model]["predictions"]], abs=0.006)
        group = page.locator("#legend .legend").nth(model)
        assert group.locator(".model").all_text_contents() == [["kinetics", "colours"][model]]
        assert group.locator(".chip-name").all_text_contents() == labels[model]
    expect(page.locator("#curve-note")).to_have_text(
        "kinetics: One score for each step of a few frames, drawn at its middle. "
        "colours: One score for each sampled frame."
    )
    asked = [parse_qs(urlsplit(url).query)["top_k"] for url in opened.watched.requests if "/classify" in url]
    assert asked == [["3"], ["3"]]


def test_a_switch_takes_away_the_label_of_its_own_model_alone(opened: Any, video: Path) -> None:
    page = opened("?model=kinetics&compare=colours&top_k=3", file=video)
    red = page.locator('#chart .series[data-label="red"]')
    expect(red).to_have_count(2)
    page.locator("#legend .legend").nth(1).get_by_role("button", name="red").click()
    expect(red).to_have_count(1)
    expect(red).to_have_attribute("data-model", "0")
