"""Evaluation as arithmetic: intervals, classes, confusions, claims, lists."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laps_client import ModelInfo
from laps_client.cli.ensemble import Member
from laps_client.cli.evaluation_report import Evaluation, classes_csv, confusion_csv, report_json, report_text
from laps_client.cli.exit_status import USAGE, CommandFailed
from laps_client.cli.labelled_videos import LabelledVideo, LabelNames, read_list
from laps_client.cli.run_settings import RunSettings
from laps_client.cli.scoring import (
    ManifestAccuracy,
    Proportion,
    ScoredVideo,
    manifest_accuracies,
    place_of_accuracy,
    report,
    wilson,
    worst,
)
from support.response_bodies import model

FIELD = Path(__file__).parents[1] / "data" / "field"
LABELS = ("air drumming", "arm wrestling", "bee keeping", "Boiling Water", "a,b", "7", "x y", "x_y")
Z = 1.959963984540054


@settings(max_examples=60)
@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_bounds_are_the_shares_that_just_fit_the_observation(counts: tuple[int, int]) -> None:
    right, of = counts
    share = right / of
    low, high = wilson(right, of)
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(share - bound) == pytest.approx(Z * math.sqrt(bound * (1 - bound) / of), rel=1e-6)


@pytest.mark.parametrize(
    ("right", "of", "expected"),
    [(0, 0, (0, 1)), (0, 10, (0, 0.277533)), (10, 10, (0.722467, 1)), (15034, 19771, (0.754407, 0.766305))],
)
def test_intervals_are_those_of_other_libraries(right: int, of: int, expected: tuple[float, float]) -> None:
    assert wilson(right, of) == pytest.approx(expected, abs=1e-6)


SCORED = [
    ScoredVideo(0, (0, 1, 2, 3, 4)),
    ScoredVideo(0, (1, 0, 2, 3, 4)),
    ScoredVideo(0, (1, 2, 3, 4, 5)),
    ScoredVideo(1, (1, 0, 2, 3, 4)),
    ScoredVideo(2, (0, 1, 3, 4, 2)),
]


def test_counts_are_what_a_hand_counts() -> None:
    counted = report(SCORED, label_count=6)
    assert (counted.top1, counted.top5) == (Proportion(2, 5), Proportion(4, 5))
    assert counted.classes == {0: Proportion(1, 3), 1: Proportion(1, 1), 2: Proportion(0, 1)}
    assert counted.confusions == [(0, 1, 2), (2, 0, 1)]
    assert worst(counted.classes, 2) == [(2, Proportion(0, 1)), (0, Proportion(1, 3))]


def test_top5_of_five_labels_says_nothing() -> None:
    assert report(SCORED, label_count=5).top5 is None


def test_nothing_scored_is_told_and_not_divided_by() -> None:
    counted = report([], label_count=6)
    assert (counted.top1.value, counted.top1.interval(), counted.classes, counted.confusions) == (0, (0, 1), {}, [])


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, []),
        ({"top1": 0.7604}, [ManifestAccuracy("top1", 1, 0.7604)]),
        ({"top1": 76.04, "top5": 92.3}, [ManifestAccuracy("top1", 1, 0.7604), ManifestAccuracy("top5", 5, 0.923)]),
        (
            {"validation": {"Top-1": 0.5}, "k400": {"top_5": 90}},
            [ManifestAccuracy("validation.Top-1", 1, 0.5), ManifestAccuracy("k400.top_5", 5, 0.9)],
        ),
        ({"top1": True, "top5": "92", "frame_top1": 0.3, "loss": 2.0}, []),
        ({"top1": 760.4, "top5": -1, "a": {"top1": float("nan")}}, []),
    ],
)
def test_claims_are_found_wherever_they_stand(metrics: dict[str, Any], expected: list[ManifestAccuracy]) -> None:
    found = manifest_accuracies(metrics)
    assert [(claim.where, claim.top) for claim in found] == [(claim.where, claim.top) for claim in expected]
    assert [claim.value for claim in found] == pytest.approx([claim.value for claim in expected])


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (ManifestAccuracy("top1", 1, 0.76), "within"),
        (ManifestAccuracy("top1", 1, 0.9), "above"),
        (ManifestAccuracy("top1", 1, 0.5), "below"),
        (ManifestAccuracy("top5", 5, 0.9), None),
    ],
)
def test_a_claim_is_held_against_the_interval(claim: ManifestAccuracy, expected: str | None) -> None:
    assert place_of_accuracy(claim, (Proportion(750, 1000), None)) == expected
    assert place_of_accuracy(claim, (Proportion(0, 0), Proportion(0, 0))) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arm wrestling", 1),
        ("arm_wrestling", 1),
        ("Arm  Wrestling", 1),
        ('"bee keeping"', 2),
        ("boiling water", 3),
        ("2", 2),
        ("007", 7),
        ("7", 5),
        ("x y", 6),
        ("x_y", 7),
        ("X Y", None),
        ("8", None),
        ("-1", None),
        ("1.0", None),
        ("\u0663", None),
        ("9" * 5000, None),
        ("wrestling", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_labels_are_meant_by_name_first_and_by_index_then(text: str, expected: int | None) -> None:
    assert LabelNames(LABELS).find(text) == expected


LISTS: dict[str, str] = {
    "csv": "a.mp4,arm wrestling\nb c.mp4,0\n",
    "csv with a header": "path,label\na.mp4,arm wrestling\nb c.mp4,0\n",
    "quoted csv": '"a.mp4","arm wrestling"\r\n"b c.mp4","0"\r\n',
    "spaces": "a.mp4 1\nb c.mp4 0\n",
    "spaces with a header": "path label\na.mp4 1\nb c.mp4 0\n",
    "csv with a header of two words": "file name,label\na.mp4,arm wrestling\nb c.mp4,0\n",
    "tabs with a header": "video\tclass\na.mp4\tarm wrestling\nb c.mp4\t0\n",
    "tabs": "a.mp4\tarm wrestling\nb c.mp4\t0\n",
    "byte order mark, empty lines, no end": "\ufeff\na.mp4, arm wrestling\n\n b c.mp4 ,0",
    "twice": "a.mp4,1\nb c.mp4,0\na.mp4,arm wrestling\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS.keys())
def test_a_list_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode())
    assert read_list(path, LabelNames(LABELS), root=None) == [
        LabelledVideo("a.mp4", str(tmp_path / "a.mp4"), 1),
        LabelledVideo("b c.mp4", str(tmp_path / "b c.mp4"), 0),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_a_list_is_read_as_windows_writes_it(tmp_path: Path, encoding: str, ends: str) -> None:
    path = tmp_path / "list.txt"
    mark = "\ufeff" if encoding != "utf-8-sig" else ""
    path.write_bytes(f"{mark}path label{ends}pan_\u00fc.mp4 2{ends}b c.mp4 0{ends}".encode(encoding))
    assert read_list(path, LabelNames(LABELS), root=None) == [
        LabelledVideo("pan_\u00fc.mp4", str(tmp_path / "pan_\u00fc.mp4"), 2),
        LabelledVideo("b c.mp4", str(tmp_path / "b c.mp4"), 0),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("a.mp4 2\r\n".encode("utf-16-le"), "NUL characters, as UTF-16 without"), (b"\xff\xfea", "truncated data")],
    ids=["no mark", "half a character"],
)
def test_a_list_that_is_no_text_is_told_to_be_saved_as_utf_8(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(CommandFailed, match=rf"list\.txt is no text: .*{said}") as caught:
        read_list(path, LabelNames(LABELS), root=None)
    assert caught.value.status == USAGE
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("video 1.mp4 2\nvideo 2.mp4 2\n", ["video 1.mp4", "video 2.mp4"]),
        ("video 1.mp4,bee keeping\nfile 2.mp4,2\n", ["video 1.mp4", "file 2.mp4"]),
        ("path\t2\nvideo\t2\n", ["path", "video"]),
        ("name,2\n", ["name"]),
    ],
)
def test_a_first_video_called_like_a_column_is_no_header(tmp_path: Path, text: str, names: list[str]) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert [entry.name for entry in read_list(path, LabelNames(LABELS), root=None)] == names


def test_commas_in_names_do_not_make_a_csv_of_spaces(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a,b.mp4 2\nc.mp4 3\n")
    assert [entry.name for entry in read_list(path, LabelNames(LABELS), root=None)] == ["a,b.mp4", "c.mp4"]
    path.write_text('c.mp4,"a,b"\n')
    assert [entry.label for entry in read_list(path, LabelNames(LABELS), root=None)] == [4]


def test_paths_are_relative_to_the_root_or_absolute(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"x/a.mp4,1\n/abs/b.mp4,1\n\xff.mp4,1\n")
    entries = read_list(path, LabelNames(LABELS), root=Path("/data"))
    assert [entry.file for entry in entries] == ["/data/x/a.mp4", "/abs/b.mp4", "/data/\udcff.mp4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.mp4,1\nb.mp4,violet\n", "line 2: the model has no label 'violet'"),
        ("a.mp4 8\n", "line 1: the model has labels 0 to 7, not 8"),
        ("a.mp4,1\na.mp4,2\n", "line 2: a.mp4 comes a second time, with another label"),
        ("a.mp4,1\nb.mp4\n", "line 2 of the list has no path and label"),
        ("a.mp4,1,2\n", "the model has no label|no path and label"),
        ("a.mp4\n", "no path and label"),
        ("path,label\n", "lists nothing"),
        ("", "lists nothing"),
    ],
)
def test_a_list_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(CommandFailed, match=said) as caught:
        read_list(path, LabelNames(LABELS), root=None)
    assert caught.value.status == USAGE


def test_a_list_from_powershell_is_read_or_called_by_its_encoding() -> None:
    path = FIELD / "list_utf16.txt"
    told, entries = "", []
    try:
        entries = read_list(path, LabelNames(LABELS), root=None)
    except CommandFailed as stop:
        told = f"{stop} {stop.hint}"
    assert "UTF-16" in told or entries == [
        LabelledVideo("pan_right_5_frames.mp4", str(FIELD / "pan_right_5_frames.mp4"), 2)
    ]


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        read_list(tmp_path / "list.csv", LabelNames(LABELS), root=None)


def members_of(*models: ModelInfo) -> tuple[Member, ...]:
    return tuple(Member(each, RunSettings(each.name, each.version, "5x3")) for each in models)


def test_the_report_says_it_all() -> None:
    evaluation = Evaluation(members=members_of(model()), listed=6, report=report(SCORED, label_count=6))
    assert report_text(evaluation, worst_most=2).splitlines() == [
        "model      m 1, 5x3 views",
        "videos     5 scored of 6 listed",
        "top-1      40.00 %, 95 % interval 11.76 % to 76.93 %, 2 of 5",
        "top-5      80.00 %, 95 % interval 37.55 % to 96.38 %, 4 of 5",
        "failed     1, not counted above; as wrong answers: top-1 33.33 %",
        "manifest   top1 40.00 %, within the interval measured",
        "manifest   top5 99.90 %, above the interval measured",
        "",
        "classes right least often",
        "  c  0.00 %  0 of 1",
        "  a  33.33 %  1 of 3",
        "",
        "taken for another most often",
        "  a for b  2 of 3",
        "  c for a  1 of 1",
    ]
    assert len(report_text(evaluation, worst_most=0).splitlines()) == 7


def test_the_report_as_json_has_everything() -> None:
    evaluation = Evaluation(members=members_of(model()), listed=6, report=report(SCORED, label_count=6))
    document = report_json(evaluation)
    assert (document["listed"], document["scored"], document["failed"], document["views"]) == (6, 5, 1, "5x3")
    assert (document["top1"]["right"], document["top5"]["value"]) == (2, 0.8)
    assert [claim["against_interval"] for claim in document["claims"]] == ["within", "above"]
    assert [(item["label"], item["of"]) for item in document["classes"]] == [("a", 3), ("b", 1), ("c", 1)]
    assert document["confusions"][0] == {"label": "a", "predicted": "b", "count": 2}


def test_of_several_models_nothing_is_claimed_and_the_untrained_one_is_named() -> None:
    members = members_of(model(), model(name="n", untrained=True))
    evaluation = Evaluation(members=members, listed=5, report=report(SCORED, label_count=6))
    lines = report_text(evaluation, worst_most=0).splitlines()
    assert lines[:2] == ["model      m 1, 5x3 views", "model      n 1, 5x3 views"]
    assert lines[2] == "scores     the mean of 2 models'"
    assert lines[-1] == "note       n/1 is untrained: its weights are random"
    assert not any(line.startswith("manifest") for line in lines)
    assert report_json(evaluation)["claims"] == []


def test_classes_and_the_matrix_as_csv() -> None:
    evaluation = Evaluation(members=members_of(model()), listed=5, report=report(SCORED, label_count=6))
    header, *rows = csv.reader(classes_csv(evaluation).splitlines())
    assert header == ["label", "index", "of", "right", "share", "low", "high"]
    assert rows[0][:5] == ["a", "0", "3", "1", "0.333333"]
    header, *rows = csv.reader(confusion_csv(evaluation).split("\n"))
    assert header == ["label", "a", "b", "c", "d", "e", "f\x1b"]
    assert rows[:3] == [
        ["a", "1", "2", "0", "0", "0", "0"],
        ["b", "0", "1", "0", "0", "0", "0"],
        ["c", "1", "0", "0", "0", "0", "0"],
    ]


def test_scores_near_chance_hint_at_the_order_of_labels() -> None:
    wrong = [ScoredVideo(number % 400, ((number + 1) % 400,)) for number in range(2000)]
    labels = {"label_count": 400, "label_names": [str(number) for number in range(400)]}
    told = report_text(
        Evaluation(members=members_of(model(**labels)), listed=2000, report=report(wrong, label_count=400)),
        worst_most=0,
    )
    assert "near chance" in told
    right = [ScoredVideo(number % 400, (number % 400,)) for number in range(2000)]
    told = report_text(
        Evaluation(members=members_of(model(**labels)), listed=2000, report=report(right, label_count=400)),
        worst_most=0,
    )
    assert "near chance" not in told
    untrained = model(**labels, untrained=True)
    told = report_text(
        Evaluation(members=members_of(untrained), listed=2000, report=report(wrong, label_count=400)), worst_most=0
    )
    assert "untrained" in told
    assert "near chance" not in told
