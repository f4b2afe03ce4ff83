"""How far to trust an answer, in words: the page's own, which are those of the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from laps_client._parsing import from_json
from laps_client._results import Classification, Prediction
from laps_client.cli.result_block import doubt
from support.browser import Classify
from support.response_bodies import BODY

_WORDS = """async (answers) => {
  const { doubt } = await import(new URL('web/js/doubt.js', location.href).href);
  return answers.map((answer) => doubt(answer)?.words ?? null);
}"""


def move_to(page: Page, time: float) -> None:
    page.evaluate("(t) => { document.querySelector('#screen video').currentTime = t }", time)


def test_page_and_command_line_say_the_same(opened: Any) -> None:
    example = from_json(Classification, BODY)
    asked: list[dict[str, Any]] = []
    words: list[str | None] = []
    for used in (1, 2, 3, 5, 6, 15):
        for agreeing in range(used + 1):
            for scores in (
                [1.0, 0.0],
                [0.75, 0.2],
                [0.7, 0.25],
                [0.5, 0.3],
                [0.4, 0.31],
                [0.3, 0.2],
                [0.96, 0.95],
                [0.75],
                [0.04],
            ):
                lead = scores[0] - scores[1] if len(scores) > 1 else scores[0]
                predictions = [{"label": str(i), "index": i, "score": score} for i, score in enumerate(scores)]
                answer = {"agreement": agreeing / used, "margin": lead, "predictions": predictions}
                asked.append(answer | {"views": {"used": used}})
                result = replace(
                    example,
                    agreement=agreeing / used,
                    margin=lead,
                    predictions=tuple(Prediction(str(i), i, score) for i, score in enumerate(scores)),
                    views=replace(example.views, used=used),
                )
                words.append(doubt(result))
    assert opened().evaluate(_WORDS, asked) == words
    assert len(set(words)) > 30


@pytest.mark.parametrize("views", ["4x1", "1x1"], ids=["several views", "one view neither agrees nor disagrees"])
def test_the_answers_doubt_is_below_its_labels(opened: Any, video: Path, classify: Classify, views: str) -> None:
    page = opened(f"?views={views}", file=video)
    words = doubt(from_json(Classification, classify(video, views=views))) or ""
    expect(page.locator("#doubt p")).to_have_text([f"{words[0].upper()}{words[1:]}."])
    assert ("views" in words) == (views == "4x1")
    assert page.locator("#doubt .is-doubtful").count() == words.startswith("in doubt")


def test_two_models_have_a_line_each_with_their_names(opened: Any, video: Path, classify: Classify) -> None:
    page = opened("?compare=paler", file=video)
    told = [(name, doubt(from_json(Classification, classify(video, model=name)))) for name in ("colours", "paler")]
    expect(page.locator("#doubt p")).to_have_text([f"{name} · {words}." for name, words in told])


def test_the_segment_at_the_time_has_its_own_line(opened: Any, video: Path, classify: Classify) -> None:
    page = opened("?segments=2s&views=2x1", file=video)
    whole, segment = page.locator("#doubt p").all()
    answer = classify(video, segments="2s", views="2x1")
    seen = set()
    for index, stretch in [(0, "0.0 s to 2.0 s"), (2, "4.0 s to 6.0 s"), (1, "2.0 s to 4.0 s")]:
        own = answer["segments"][index]
        move_to(page, own["start_s"] + 1.0)
        said = page.evaluate(_WORDS, [own])[0]
        first = own["predictions"][0]
        expect(segment).to_have_text(f"{stretch} · {first['label']} {round(first['score'] * 100)} % · {said}.")
        seen.add(said)
    assert len(seen) > 1
    expect(whole).to_have_text(f"{page.evaluate(_WORDS, [answer])[0].capitalize()}.")
