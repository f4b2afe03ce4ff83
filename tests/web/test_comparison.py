"""Two models on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
