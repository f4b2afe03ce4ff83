"""What a model is and costs, in words: the page's own, which are those of the command line."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from playwright.sync_api import expect

from laps_client import ModelCost, ModelSummary
from laps_client._parsing import to_json
from laps_client.cli.model_facts import model_facts
from support.response_bodies import model

_WORDS = """async (models) => {
  const { modelFacts } = await import(new URL('web/js/model_facts.js', location.href).href);
  return models.map((model) => Object.entries(modelFacts(model)));
}"""
# Figures that lie in the middle of what is shown, which Python alone would round to the even digit.
_GMACS = (0.0, 0.001, 0.125, 0.375, 0.67, 1.005, 55.576, 140.65, 4401.82, 12345.675)


def test_page_and_command_line_say_the_same(opened: Any) -> None:
    costs = [None, *(ModelCost(gmacs, 1.0) for gmacs in _GMACS)]
    models: list[ModelSummary] = [
        replace(model(), cost=cost, default_views=views)
        for cost, views in itertools.product(costs, ("1x1", "1x3", "5x3", "10x3", "7x1"))
    ]
    ours = [[list(fact) for fact in model_facts(each).items()] for each in models]
    assert opened().evaluate(_WORDS, [to_json(each) for each in models]) == ours


def test_the_chosen_models_facts_stand_below_the_options(opened: Any) -> None:
    page = opened()
    facts = page.locator("#model-facts p")
    expect(facts).to_have_text(["family colour, mean · views 4x1 · GMACs a view 0.67 · GMACs a video 2.68"])
    page.select_option("#compare", "whole")
    expect(facts).to_have_text(
        [
            "colours · family colour, mean · views 4x1 · GMACs a view 0.67 · GMACs a video 2.68",
            "whole · family colour, mean · views 6x1 · GMACs a view - · GMACs a video -",
        ]
    )
    page.select_option("#compare", "")
    page.select_option("#model", "whole")
    expect(facts).to_have_text(["family colour, mean · views 6x1 · GMACs a view - · GMACs a video -"])
