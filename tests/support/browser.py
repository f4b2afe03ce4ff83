"""A real browser for tests of the page: the system's Chromium, never a downloaded one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
Classify = Callable[..., dict[str, Any]]  # a video's path and a query to the server's own answer
PATIENCE_MS = 90_000  # for anything that waits for the server on a busy machine


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium while the context lasts; skips the test, by name, where it is not installed.

    Playwright's event loop runs in this thread as long: no asynchronous test may run meanwhile.
    """
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def wait_for_answer(page: Page) -> None:
    """Wait until the classification is over and its answer is shown."""
    page.wait_for_selector("#provenance:not(:empty), #errors .error-panel", timeout=PATIENCE_MS)
    assert page.locator("#errors").text_content() == ""
    page.wait_for_selector("#progress", state="hidden", timeout=PATIENCE_MS)


def wait_until(page: Page, expression: str, argument: Any = None) -> None:
    """Wait until a JavaScript expression, a function of ``argument``, is true."""
    page.wait_for_function(expression, arg=argument, timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Axes:
    """How a chart maps numbers to pixels, as its axes say to whoever looks at them."""

    x: Callable[[float], float]
    y: Callable[[float], float]

    @classmethod
    def of(cls, chart: Locator) -> Axes:
        """Read from the first and last mark of each axis; of the axis of times, in seconds."""
        ticks = chart.locator(".scores-axis .tick").all_text_contents()
        lines = [float(line.get_attribute("y1") or "") for line in chart.locator(".scores-axis line").all()]
        times = chart.locator(".time-axis .tick").all_text_contents()
        marks = [float(mark.get_attribute("x1") or "") for mark in chart.locator(".time-axis .mark").all()]
        return cls(
            x=_line(*((_seconds(times[i]), marks[i]) for i in (0, -1))),
            y=_line(*((float(ticks[i].removesuffix(" %")) / 100, lines[i]) for i in (0, -1))),
        )


def _seconds(text: str) -> float:
    if text.endswith(" s"):
        return float(text.removesuffix(" s"))
    return float(sum(float(part) * 60**i for i, part in enumerate(reversed(text.split(":")))))


def _line(first: tuple[float, float], last: tuple[float, float]) -> Callable[[float], float]:
    slope = (last[1] - first[1]) / (last[0] - first[0])
    return lambda value: first[1] + (value - first[0]) * slope


def corners(path: str) -> list[tuple[float, float]]:
    """Where the pieces of a path of M, C and H commands end."""
    places: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MCH])([^MCH]*)", path):
        values = [float(number) for number in re.findall(r"-?[0-9.]+", numbers)]
        places.append((values[-1], places[-1][1]) if command == "H" else (values[-2], values[-1]))
    return places


def curve(page: Page, label: str, model: int = 0) -> list[tuple[float, float]]:
    """The corners of a label's curve in the page's chart."""
    path = page.locator(f'#chart .series[data-label="{label}"][data-model="{model}"] .curve')
    return corners(path.get_attribute("d") or "")


def flat(places: list[tuple[float, float]]) -> list[float]:
    """Places as one list of numbers, as approximate comparison wants them."""
    return [value for place in places for value in place]
