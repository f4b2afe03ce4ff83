from __future__ import annotations

import pytest
import torch

from laps_export.errors import CheckpointError
from laps_export.families.renaming import stacked

TABLE = (((".q.", ".k."), ".qk."),)


def test_parts_are_joined_along_their_first_axis() -> None:
    joined = stacked({"a.q.weight": torch.zeros(2, 3), "a.k.weight": torch.ones(1, 3)}, TABLE)
    assert {name: list(value.shape) for name, value in joined.items()} == {"a.qk.weight": [3, 3]}


@pytest.mark.parametrize(
    "other",
    [torch.ones(1, 4), torch.ones(3), torch.ones(()), torch.ones(1, 3, dtype=torch.float16)],
    ids=["another width", "fewer axes", "no axis", "another type"],
)
def test_parts_that_do_not_fit_are_told(other: torch.Tensor) -> None:
    with pytest.raises(CheckpointError, match=r"a\.k\.weight") as caught:
        stacked({"a.q.weight": torch.zeros(2, 3), "a.k.weight": other}, TABLE)
    assert caught.value.code == "wrong_shape"


def test_numbers_without_axes_are_told() -> None:
    with pytest.raises(CheckpointError):
        stacked({"a.q.weight": torch.ones(()), "a.k.weight": torch.ones(())}, TABLE)
