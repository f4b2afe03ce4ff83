"""A case is drawn by its numbers, and can be kept and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.cases import Case, draw_case
from fuzz.mutations import Edit, applied

SEEDS = {"a.bin": bytes(range(256)) * 40, "b.avi": b"RIFF\x60\x09\0\0" + b"words " * 400, "c.bin": b"x"}


def test_the_same_numbers_draw_the_same_case() -> None:
    assert [draw_case(1, number, SEEDS) for number in range(50)] == [
        draw_case(1, number, SEEDS) for number in range(50)
    ]


def test_other_numbers_draw_other_cases() -> None:
    files = {
        case.file(SEEDS[case.seed])
        for run in range(4)
        for case in (draw_case(run, number, SEEDS) for number in range(100))
        if case.seed != "c.bin"
    }
    assert len(files) > 200


def test_every_kind_of_damage_is_drawn() -> None:
    kinds = {edit.kind for number in range(300) for edit in draw_case(1, number, SEEDS).edits}
    assert kinds == {"bits", "number", "length", "cut", "drop", "repeat", "splice", "random"}


def test_a_case_that_was_kept_makes_the_same_file(tmp_path: Path) -> None:
    for number in range(50):
        case = draw_case(7, number, SEEDS)
        path = tmp_path / "case.json"
        path.write_bytes(case.as_json())
        again = Case.read(path)
        assert again == case
        assert again.file(SEEDS[case.seed]) == case.file(SEEDS[case.seed])


def test_a_case_of_another_seed_is_refused() -> None:
    case = draw_case(1, 0, SEEDS)
    with pytest.raises(ValueError, match="not the file"):
        case.file(SEEDS[case.seed] + b"!")


def test_edits_are_made_one_after_the_other() -> None:
    edits = [Edit("cut", 4, 2, b""), Edit("random", 0, 1, b"XY"), Edit("repeat", 5, 0, b"!!")]
    assert applied(b"abcdef", edits) == b"XYbcd!!"
