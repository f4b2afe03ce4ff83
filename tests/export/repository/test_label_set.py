from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from laps_export.errors import LabelsError
from laps_export.repository.label_set import LabelSet, load_labels, parse_labels, shipped_label_sets


def test_two_orders_of_the_same_classes_ship() -> None:
    assert shipped_label_sets() == ("camera-motion", "kinetics400-alphabetical", "kinetics400-laps")
    laps, alphabetical = load_labels("kinetics400-laps"), load_labels("kinetics400-alphabetical")
    assert len(laps) == len(alphabetical) == 400
    assert sorted(laps.labels) == sorted(alphabetical.labels)
    assert laps.labels[:3] == ("snowmobiling", "curling hair", "situp")
    assert alphabetical.labels[:3] == ("abseiling", "air drumming", "answering questions")


def test_a_users_file_is_named_after_itself_and_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "moves.txt"
    path.write_bytes("\ufeffpan left\r\n  über \r\n\n".encode())
    labels = load_labels(str(path))
    assert (labels.name, labels.labels) == ("moves", ("pan left", "über"))
    assert labels.to_bytes() == "pan left\nüber\n".encode()
    assert labels.sha256 == hashlib.sha256(labels.to_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "code", "names"),
    [
        (b"", "labels_empty", "mine"),
        (b" \n\n", "labels_empty", "mine"),
        (b"a\n\nb\n", "label_blank", "line 2"),
        (b"a\nb\na\n", "label_duplicate", "lines 1 and 3"),
        (b"a\n\xff\xfe\n", "labels_not_text", "byte 2"),
        (b"a\nb\x00c\n", "label_control_character", "line 2"),
    ],
)
def test_a_malformed_file_says_where(content: bytes, code: str, names: str) -> None:
    with pytest.raises(LabelsError) as caught:
        parse_labels(content, name="mine")
    assert caught.value.code == code
    assert names in caught.value.message


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        ((), "labels_empty"),
        (("a", " "), "label_blank"),
        (("a", "a"), "label_duplicate"),
        (("a\nb",), "label_control_character"),
    ],
    ids=ascii,
)
def test_a_set_made_in_code_is_checked_too(labels: tuple[str, ...], code: str) -> None:
    with pytest.raises(LabelsError) as caught:
        LabelSet("mine", labels)
    assert caught.value.code == code


def test_an_unknown_set_names_the_shipped(tmp_path: Path) -> None:
    with pytest.raises(LabelsError) as caught:
        load_labels(str(tmp_path / "kinetics600"))
    assert caught.value.code == "labels_not_found"
    assert "kinetics400-laps" in caught.value.hint
