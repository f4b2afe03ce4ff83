from __future__ import annotations

import numpy as np
import pytest

from laps_server.errors import BadParameter, UnknownLabel
from laps_server.label_choice import chosen_labels

LABELS = ("tapping pen", "arm wrestling", "cooking, baking", "archery")


def test_nothing_asked_means_all() -> None:
    assert chosen_labels((), LABELS) is None


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        (("archery,tapping pen",), [0, 3]),
        (("archery", "tapping pen"), [0, 3]),
        (("archery, tapping pen ,archery",), [0, 3]),
        (("cooking, baking", "archery"), [2, 3]),
    ],
    ids=["joined", "several times", "with spaces and twice", "a comma in a name"],
)
def test_names_become_places_in_the_models_order(asked: tuple[str, ...], places: list[int]) -> None:
    np.testing.assert_array_equal(chosen_labels(asked, LABELS), places)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("arm_wrestling", "did you mean arm wrestling?"),
        ("Archery", "did you mean archery?"),
        ("zzz", "GET /models/NAME"),
        ("cooking", "did you mean cooking, baking?"),
    ],
)
def test_an_unknown_name_is_told_with_similar_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownLabel) as caught:
        chosen_labels(("archery", name), LABELS)
    assert hint in (caught.value.hint or "")
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("asked", ["", "archery,", " "])
def test_an_empty_name_is_refused(asked: str) -> None:
    with pytest.raises(BadParameter, match="empty"):
        chosen_labels((asked,), LABELS)


def test_a_giant_name_is_not_sent_back_whole() -> None:
    with pytest.raises(UnknownLabel) as caught:
        chosen_labels(("x" * 100_000,), LABELS)
    assert len(caught.value.message) < 200
