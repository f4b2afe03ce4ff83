from __future__ import annotations

import pytest
import torch

from laps_export.families.video_swin.windows import Windows, bias_rows, relative_positions


def test_a_dimension_no_larger_than_a_window_shrinks_it_and_is_not_shifted() -> None:
    assert Windows.of((16, 14, 7)) == Windows((16, 14, 7), (8, 7, 7), (4, 3, 0))
    assert Windows.of((4, 56, 3)) == Windows((4, 56, 3), (4, 7, 3), (0, 3, 0))


def test_what_is_cut_is_joined_again() -> None:
    windows = Windows.of((16, 14, 7))
    tokens = torch.arange(2 * 16 * 14 * 7 * 3).reshape(2, 16, 14, 7, 3)
    cut = windows.cut(tokens)
    assert cut.shape == (2 * 4, 8 * 7 * 7, 3)
    assert torch.equal(cut[0, 0], tokens[0, 0, 0, 0])
    assert torch.equal(cut[1, 8], tokens[0, 0, 8, 1]), "the second window lies below the first"
    assert torch.equal(windows.join(cut), tokens)


def test_regions_are_the_tokens_that_were_neighbours_before_the_roll() -> None:
    windows = Windows.of((16, 14, 7))
    regions = windows.regions()
    # Per token of the rolled clip: whether it came around the clip's end, along time and along height.
    came_around = torch.stack(
        [
            torch.arange(16)[:, None, None].expand(16, 14, 7) >= 12,
            torch.arange(14)[None, :, None].expand(16, 14, 7) >= 11,
        ],
        dim=-1,
    )
    halves = windows.cut(came_around[None].long())  # [windows, N, 2]
    same = (halves[:, None] == halves[:, :, None]).all(-1)
    assert torch.equal(regions[:, None] == regions[:, :, None], same)
    assert len(set(regions.flatten().tolist())) == 9


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [((0, 0, 0), (0, 0, 0), (0, 0, 0)), ((7, 6, 5), (0, 6, 0), (7, 0, 5)), ((1, 0, 0), (4, 6, 6), (-3, -6, -6))],
)
def test_a_row_of_the_bias_table_stands_for_a_distance(
    first: tuple[int, int, int], second: tuple[int, int, int], apart: tuple[int, int, int]
) -> None:
    index = relative_positions()
    (t, h, w), (u, i, j) = first, second
    row = (apart[0] + 7) * 169 + (apart[1] + 6) * 13 + apart[2] + 6
    assert index[t * 49 + h * 7 + w, u * 49 + i * 7 + j] == row
    assert (int(index.min()), int(index.max())) == (0, bias_rows() - 1)
