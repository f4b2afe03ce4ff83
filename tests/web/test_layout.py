"""Narrow screens, dark and light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from support.browser import Axes, wait_until


@pytest.mark.parametrize(
    "query",
    ["?compare=paler", "?model=kinetics&compare=colours&top_k=10", "?model=kinetics&segments=2s&top_k=10"],
    ids=["two models", "long labels beside others", "long labels in segments"],
)
def test_a_phone_shows_everything_without_scrolling_sideways(opened: Any, video: Path, query: str) -> None:
    width = 320
    page = opened(query, file=video, viewport={"width": width, "height": 800}, has_touch=True)
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
