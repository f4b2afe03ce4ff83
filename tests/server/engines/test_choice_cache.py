"""What is kept of a choice, and what a damaged, foreign or forbidden folder costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from laps_server.engines.choice_cache import ChoiceCache
from laps_server.engines.choices import Candidate
from laps_server.engines.trial import Choice, Measured, Shift, Timing

FLOAT32, BF16 = Candidate("ort", "float32"), Candidate("openvino", "bfloat16")
CHOICE = Choice(
    BF16,
    (Measured(BF16, Timing(1.5, 2.5), Shift(0.01, 0)), Measured(FLOAT32, Timing(3.0, 6.0), failure=None)),
    views=10,
)
KEY = {"model": "a", "threads": "2"}


def kept_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_was_found_is_found_again_under_the_same_key_alone(tmp_path: Path) -> None:
    cache = ChoiceCache(tmp_path / "deep" / "er")
    assert cache.read("m 1", KEY) is None
    cache.write("m 1", KEY, CHOICE)
    assert ChoiceCache(tmp_path / "deep" / "er").read("m 1", KEY) == CHOICE
    for changed in (KEY | {"threads": "3"}, KEY | {"more": ""}):
        assert cache.read("m 1", changed) is None
    assert cache.read("m 2", KEY) is None
    assert kept_file(tmp_path / "deep" / "er").name.startswith("m-1-")  # and no file that was half written


def test_a_later_choice_takes_the_earlier_ones_place(tmp_path: Path) -> None:
    cache = ChoiceCache(tmp_path)
    cache.write("m 1", KEY, CHOICE)
    other = Choice(FLOAT32, CHOICE.measured, views=10)
    cache.write("m 1", KEY, other)
    assert cache.read("m 1", KEY) == other
    assert len(list(tmp_path.iterdir())) == 1


def cut(text: str) -> str:
    return text[: len(text) // 2]


def of_another_key(text: str) -> str:
    return json.dumps(json.loads(text) | {"key": {"model": "b"}})


def with_an_unknown_engine(text: str) -> str:
    return text.replace('"openvino"', '"abacus"')


def with_a_candidate_that_nobody_tried(text: str) -> str:
    return json.dumps(json.loads(text) | {"choice": json.loads(text)["choice"] | {"measured": []}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "it is damaged"),
        (lambda _: "", "it is damaged"),
        (lambda _: "[]", "it is damaged"),
        (with_an_unknown_engine, "it is damaged"),
        (of_another_key, "it answers another question"),
        (with_a_candidate_that_nobody_tried, "it answers another question"),
    ],
)
def test_a_file_that_is_wrong_is_passed_over_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: object, said: str
) -> None:
    cache = ChoiceCache(tmp_path)
    cache.write("m 1", KEY, CHOICE)
    path = kept_file(tmp_path)
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    assert cache.read("m 1", KEY) is None
    (line,) = caplog.messages
    assert line == f"{path} is passed over: {said}"
    cache.write("m 1", KEY, CHOICE)
    assert cache.read("m 1", KEY) == CHOICE


def test_a_folder_that_cannot_be_made_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = ChoiceCache(tmp_path / "file" / "folder")
    cache.write("m 1", KEY, CHOICE)
    (line,) = caplog.messages
    assert line == f"what was found for m 1 is not kept in {tmp_path}/file/folder: Not a directory"


def test_a_cache_without_a_folder_keeps_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cache = ChoiceCache(None)
    cache.write("m 1", KEY, CHOICE)
    assert cache.read("m 1", KEY) is None
    assert caplog.messages == []


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("laps_server.whole_file.os.fsync", full)
    ChoiceCache(tmp_path).write("m 1", KEY, CHOICE)
    assert list(tmp_path.iterdir()) == []
