"""A real server with small models, a real Chromium, and pages that must stay clean.

Server and browser are started once for this folder, and stopped after its last test: asynchronous tests of others need
the thread that the browser's event loop runs in.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from support.browser import CHROMIUM, Classify, running_browser, wait_for_answer
from support.live_servers import ServerProcess, running_server
from support.model_repositories import LABELS, slow_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"  # of tests that failed
FAILED = pytest.StashKey[bool]()
# The first three are what the graph sees as red, green and blue. One of them is a label of the other models too.
ACTIONS = (
    "red",
    "massaging person's head",
    "petting animal (not cat)",
    *(f"presenting weather forecast number {n}" for n in range(397)),
)
COLOURS = [RED] * 24 + [GREEN] * 24 + [BLUE] * 16  # 6.4 s at ten frames a second


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed, for its fixtures."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="package")
def server(folder: Path) -> Iterator[ServerProcess]:
    """Serves `colours`; `paler`, which sees the same less clearly; `slow`, which takes its time for each view; `steps`
    and `whole`, which score steps and whole clips; and `kinetics`, which has 400 labels of its own and scores steps.
    """
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    write_model(folder / "models", "colours", default_views="4x1", cost={"gmacs": 0.67, "parameters_m": 1.96})
    write_model(folder / "models", "paler", default_views="4x1", temperature=4.0)
    steps = [(0, 1), (2, 3)]
    write_model(folder / "models", "steps", default_views="4x1", kind="per_step", steps=steps)
    write_model(folder / "models", "kinetics", labels=ACTIONS, default_views="3x1", kind="per_step", steps=steps)
    write_model(folder / "models", "whole", default_views="6x1", kind="per_clip")
    slow = slow_graph(frames=4, size=32, classes=len(LABELS), rounds=1)
    write_model(folder / "models", "slow", graph=slow, default_views="3x1")
    with running_server(folder / "models", env={"LAPS_MAX_BATCH_VIEWS": "1"}) as server:
        yield server


@pytest.fixture(scope="package")
def video(folder: Path) -> Path:
    """Red, then green, then blue; Chromium plays it."""
    return write_colour_video(folder / "three colours.mp4", COLOURS, codec="libx264")


@pytest.fixture(scope="package")
def avi(folder: Path) -> Path:
    """The same in a container that no browser plays."""
    return write_colour_video(folder / "old.avi", COLOURS)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@dataclass
class Watched:
    """What pages did behind the screen."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@dataclass
class Opener:
    """Opens pages of the server and watches all of them."""

    browser: Browser
    url: str
    watched: Watched = field(default_factory=Watched)
    pages: list[Page] = field(default_factory=list)

    def __call__(self, query: str = "", file: Path | None = None, **context: Any) -> Page:
        """A page, and with a file its finished answer."""
        page = self.browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **context}).new_page()
        self.pages.append(page)
        page.on("request", lambda request: self.watched.requests.append(request.url))
        page.on("console", lambda message: self.watched.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.watched.complaints.append(str(error)))
        page.goto(f"{self.url}/{query}")
        page.wait_for_selector("#model option", state="attached")
        if file is not None:
            page.set_input_files("#file", file)
            wait_for_answer(page)
        return page


@pytest.fixture
def opened(browser: Browser, server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens pages; afterwards they have asked no other host for anything and have not complained.

    A test whose subject makes the browser complain, as it does of every answer that is no success, is marked `noisy`.
    """
    opener = Opener(browser, server.url)
    yield opener
    for number, page in enumerate(opener.pages):
        if request.node.stash[FAILED]:
            page.screenshot(path=SCREENSHOTS / f"{request.node.name}{number or ''}.png", full_page=True)
        page.context.close()
    foreign = [url for url in opener.watched.requests if not url.startswith((f"{server.url}/", "blob:", "data:"))]
    assert foreign == []
    if not request.node.get_closest_marker("noisy"):
        assert opener.watched.complaints == []


@pytest.fixture(scope="package")
def classify(server: ServerProcess) -> Classify:
    """The server's own answer, without the page."""

    def classify(file: Path, **query: Any) -> dict[str, Any]:
        response = httpx.post(f"{server.url}/classify", params=query, content=file.read_bytes(), timeout=120)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return classify
