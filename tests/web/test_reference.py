"""The reference in a real browser, which has no other host to ask."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from support.live_servers import ServerProcess


def test_the_reference_shows_every_route_and_asks_nobody_else(browser: Browser, server: ServerProcess) -> None:
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{server.url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    paths = [text.replace("\u200b", "") for text in page.locator(".opblock-summary-path").all_inner_texts()]
    page.close()
    assert {"/classify", "/models", "/readyz"} <= set(paths)
    assert [url for url in asked if not url.startswith((f"{server.url}/", "data:"))] == []
    assert complaints == []
