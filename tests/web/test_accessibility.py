"""Who does not see the page, or uses no mouse, gets all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from support.browser import wait_until

_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const over = (top, under) => {
    const a = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a));
  };
  const background = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      layers.push(colour);
      if ((colour[3] ?? 1) === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (element, property, needs) => {
    const under = background(element);
    const colour = over(numbers(getComputedStyle(element)[property]), under);
    const [low, high] = [luminance(colour), luminance(under)].sort((a, b) => a - b);
    return {what: element.textContent.slice(0, 30), needs, ratio: (high + 0.05) / (low + 0.05)};
  };
  const texts = [...document.querySelectorAll('body *')].filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()) &&
    element.checkVisibility() && !element.closest('script, noscript, :disabled, option'));
  return [
    ...texts.map((element) => ratio(element, element instanceof SVGElement ? 'fill' : 'color', 4.5)),
    ...[...document.querySelectorAll('.scores .curve')].map((curve) => ratio(curve, 'stroke', 3)),
  ];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_curves_stand_out_from_what_is_behind_them(opened: Any, video: Path, scheme: str) -> None:
    page = opened("?compare=paler", file=video, color_scheme=scheme)
    page.get_by_text("Scores as a table").click()
    checked = page.evaluate(_CONTRAST)
    assert len(checked) > 60
    assert [each for each in checked if each["ratio"] < each["needs"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_curve_colour_stands_out(opened: Any, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    page.evaluate(
        """() => {
          document.querySelector('#result').hidden = false;
          document.querySelector('#filmstrip').innerHTML = [...Array(10).keys()].map((n) => `c${n}`).concat('other')
            .map((name) => `<svg><g class="series ${name}"><path class="curve" d="M0,0h9"/></g></svg>`).join('');
        }"""
    )
    ratios = [each["ratio"] for each in page.evaluate(_CONTRAST) if each["needs"] == 3]
    assert len(ratios) == 11
    assert min(ratios) >= 3


def tab_stops(page: Page, most: int = 60) -> list[dict[str, Any]]:
    """What the Tab key reaches from the top of the page, in order."""
    stops: list[dict[str, Any]] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
              const at = document.activeElement;
              if (at === document.body) return null;
              const style = getComputedStyle(at.id === 'file' ? document.querySelector('#choose') : at);
              return {id: at.id || at.className || at.tagName,
                ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0};
            }"""
        )
        if stop is None or (stops and stop["id"] == stops[0]["id"]):
            break
        stops.append(stop)
    return stops


def test_the_tab_key_reaches_everything_in_the_order_of_reading(opened: Any, video: Path) -> None:
    page = opened(file=video)
    stops = tab_stops(page)
    names = list(dict.fromkeys(stop["id"] for stop in stops))
    first = ["skip", "A", "file", "record", "model", "compare", "views", "segments", "top_k"]
    assert names[: len(first)] == first
    later = ["VIDEO", "button small", "chart", "frame", "SUMMARY"]
    assert [name for name in names if name in later] == later
    assert sum(stop["id"] == "frame" for stop in stops) == 1  # the strip is one stop, arrow keys move inside it
    assert [stop["id"] for stop in stops if not stop["ring"] and stop["id"] != "VIDEO"] == []


def test_everything_that_is_used_has_a_role_and_a_name(opened: Any, video: Path) -> None:
    page = opened("?compare=paler", file=video)
    page.get_by_text("Scores as a table").click()
    used = []
    for node in page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]:
        properties = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
        role = node.get("role", {}).get("value")
        if properties.get("focusable") and not node.get("ignored") and role not in {"RootWebArea", "main"}:
            used.append((role, node.get("name", {}).get("value", "").strip()))
    assert [each for each in used if not each[1]] == []
    assert {"link", "combobox", "button", "slider"} <= {role for role, _ in used}
    assert ("slider", "Position in the video") in used
    assert any(name.startswith("Choose another") for _, name in used)


def test_headings_and_landmarks_order_the_page(opened: Any, video: Path) -> None:
    page = opened(file=video)
    headings = page.locator("body > :not(dialog)").locator("h1, h2, h3").all_text_contents()
    assert headings[1:] == ["three colours.mp4", "Video", "Labels", "Scores over time", "Time taken"]
    for role in ("banner", "main", "contentinfo", "navigation"):
        expect(page.get_by_role(role)).to_have_count(1)
    assert page.locator("html").get_attribute("lang") == "en"


def test_progress_is_announced_but_not_every_percent(opened: Any, video: Path) -> None:
    page = opened()
    page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver((records) => said.push(...records.flatMap((r) => [...r.addedNodes].map((n) => n.data))))
            .observe(document.querySelector('#announcement'), {childList: true});
        }"""
    )
    page.set_input_files("#file", video)
    wait_until(page, "() => /%$/.test(said.at(-1) ?? '')")
    said = page.evaluate("said")
    assert said[-3:-1] == ["Uploaded", "Classifying"]
    assert "red, " in said[-1] or "green, " in said[-1]
    assert len(said) <= 4


def test_the_skip_link_leads_past_the_header(opened: Any) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
