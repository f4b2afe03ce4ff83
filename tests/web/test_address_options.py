"""Options in the address of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.browser import wait_for_answer


def test_options_are_in_the_address_and_come_back_from_it(opened: Any, video: Path) -> None:
    page = opened()
    chosen = {"model": "paler", "compare": "colours", "views": "2x1", "segments": "5s", "top_k": "3"}
    for name, value in chosen.items():
        page.select_option(f"#{name}", value)
    query = "?model=paler&compare=colours&views=2x1&segments=5s&top_k=3"
    assert page.url.endswith(f"/{query}")
    other = opened(query)
    assert {name: other.locator(f"#{name}").input_value() for name in chosen} == chosen
    other.set_input_files("#file", video)
    wait_for_answer(other)
    assert other.url.endswith(f"/{query}")
    sent = [url for url in opened.watched.requests if "/classify" in url]
    assert len(sent) == 2
    assert all("views=2x1" in url and "segments=5s" in url for url in sent)
    for name in chosen:
        other.select_option(f"#{name}", "5" if name == "top_k" else "")
    assert other.url.endswith("/")


def test_a_link_to_what_is_not_served_says_so(opened: Any) -> None:
    page = opened("?model=gone&views=99x7&segments=5s")
    notes = page.locator("#errors .warning").all_text_contents()
    assert [("gone" in note, "99x7" in note) for note in notes] == [(True, False), (False, True)]
    assert page.locator("#model").input_value() == ""
    assert page.locator("#segments").input_value() == "5s"


def test_an_option_that_the_form_does_not_list_stays(opened: Any) -> None:
    page = opened("?segments=90s&views=7x3&top_k=4")
    shown = [page.locator(name).input_value() for name in ("#segments", "#views", "#top_k")]
    assert shown == ["90s", "7x3", "4"]
