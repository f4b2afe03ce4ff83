"""The page of a server that asks for a key: it asks its reader, and keeps the key for the session of the tab alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from support.browser import CHROMIUM, PATIENCE_MS, wait_for_answer
from support.live_servers import running_server
from support.model_repositories import write_model


@dataclass(frozen=True)
class Locked:
    """A server with keys; ``key`` is one of them."""

    url: str
    key: str
    file: Path

    def keys(self, *arguments: str) -> str:
        """What ``laps-server keys`` prints."""
        return _keys(self.file, *arguments)


def _keys(file: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "laps_server", "keys", *arguments, "--file", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    folder = tmp_path_factory.mktemp("locked")
    write_model(folder / "models", "colours", default_views="4x1")
    key = _keys(folder / "keys.json", "add", "lab")
    with running_server(folder / "models", env={"LAPS_KEYS_FILE": str(folder / "keys.json")}) as server:
        yield Locked(server.url, key, folder / "keys.json")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    yield context
    context.close()


def asked(page: Page) -> None:
    """The page asks for a key."""
    expect(page.get_by_role("alert")).to_contain_text("This server asks for a key", timeout=PATIENCE_MS)


def give(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Use it").click()


def test_the_key_is_asked_for_used_and_kept_for_the_session_alone(
    context: BrowserContext, locked: Locked, video: Path
) -> None:
    page = context.new_page()
    page.goto(locked.url)
    asked(page)
    assert page.get_by_label("Key").get_attribute("type") == "password"
    with page.expect_navigation():
        give(page, "laps_00000000_wrong")
    asked(page)
    give(page, f" {locked.key}\n")
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", video)
    wait_for_answer(page)
    # It lives in the tab's session, through a reload, and nowhere else.
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    kept = page.evaluate("[Object.values({...sessionStorage}), {...localStorage}, document.cookie, location.href]")
    assert kept == [[locked.key], {}, "", f"{locked.url}/"]
    other_tab = context.new_page()
    other_tab.goto(locked.url)
    asked(other_tab)


def test_a_key_that_was_revoked_is_asked_for_again_and_the_video_is_not_lost(
    context: BrowserContext, locked: Locked, video: Path
) -> None:
    guest = locked.keys("add", "guest")
    page = context.new_page()
    page.goto(locked.url)
    page.wait_for_timeout(1000)  # as long as the server may take to see it
    give(page, guest)
    page.wait_for_selector("#model option", state="attached")
    locked.keys("revoke", "guest")
    page.wait_for_timeout(1000)
    page.set_input_files("#file", video)
    asked(page)
    give(page, locked.key)
    wait_for_answer(page)


def test_a_quota_that_is_used_up_says_so_and_can_be_tried_again(
    context: BrowserContext, locked: Locked, video: Path
) -> None:
    slow = locked.keys("add", "slow", "--requests-per-minute", "1")
    page = context.new_page()
    page.goto(locked.url)
    page.wait_for_timeout(1000)
    give(page, slow)
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", video)
    wait_for_answer(page)
    page.set_input_files("#file", [])
    page.set_input_files("#file", video)
    expect(page.get_by_role("alert")).to_contain_text("Your key has used what it may for now", timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
