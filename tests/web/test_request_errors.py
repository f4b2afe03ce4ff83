"""What the page says of requests that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from support.browser import PATIENCE_MS, wait_for_answer
from support.live_servers import ServerProcess


def test_a_file_that_is_no_video_is_an_error_in_words(opened: Any, tmp_path: Path, server: ServerProcess) -> None:
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
def test_a_refused_option_can_be_changed_and_tried_again(opened: Any, video: Path) -> None:
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
def test_an_unreachable_server_is_an_error_and_can_be_tried_again(opened: Any, video: Path) -> None:
    page = opened()
    page.route("**/classify?*", lambda route: route.abort("connectionrefused"))
    page.set_input_files("#file", video)
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    page.unroute("**/classify?*")
    page.get_by_role("button", name="Try again").click()
    wait_for_answer(page)
