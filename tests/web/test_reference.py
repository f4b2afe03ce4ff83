"""The reference in a real browser, with no other host to load anything from."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from support.live_servers import ServerProcess


def test_the_reference_shows_every_route_and_needs_no_other_host(browser: Browser, server: ServerProcess) -> None:
    page = browser.new_page()
    requested: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{server.url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    paths = [text.replace("\u200b", "") for text in page.locator(".opblock-summary-path").all_inner_texts()]
    page.close()
    assert {"/classify", "/models", "/readyz"} <= set(paths)
    assert [url for url in requested if not url.startswith((f"{server.url}/", "data:"))] == []
    assert complaints == []
