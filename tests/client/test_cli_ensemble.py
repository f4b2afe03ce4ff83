"""``laps evaluate`` with several models: each video goes to each of them, and the mean of their scores ranks labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from laps_client import Classification, Prediction
from laps_client._parsing import from_json
from laps_client.cli.ensemble import mean_ranking
from support.flaky_server import FlakyServer, Step, failing, flaky_server, forwarding
from support.laps_command import LapsCommand
from support.live_servers import ServerProcess, running_server
from support.model_repositories import colour_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.response_bodies import BODY

LABELS = ("red", "green", "blue", "dark", "darker", "dim", "dimmer")
BOTH = ("--model", "no-red", "--model", "no-green")
VIDEOS = {"red.mp4": RED, "green.mp4": GREEN, "blue.mp4": BLUE}


def blind_to(channel: int) -> onnx.ModelProto:
    """Sees nothing of one colour, and takes what is of it for something darker."""
    graph = colour_graph(frames=4, size=32, classes=len(LABELS))
    weight = numpy_helper.to_array(graph.graph.initializer[0]).copy()
    weight[:, channel] = 0
    graph.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight.astype(np.float32), "weight"))
    return graph


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ensemble")
    models = home / "models"
    write_model(models, "no-red", labels=LABELS, graph=blind_to(0), default_views="1x1")
    write_model(models, "no-green", version=1, labels=LABELS, graph=blind_to(0), default_views="1x1")
    write_model(models, "no-green", version=2, labels=LABELS, graph=blind_to(1), default_views="2x1")
    write_model(models, "turned", labels=("red", "blue", "green", *LABELS[3:]))
    write_model(models, "renamed", labels=("scarlet", *LABELS[1:]))
    write_model(models, "four", labels=LABELS[:4])
    write_model(models, "each-alone", labels=LABELS, activation="sigmoid", untrained=True)
    for name, colour in VIDEOS.items():
        write_colour_video(home / name, [colour] * 10)
    (home / "list.csv").write_text("red.mp4,red\ngreen.mp4,green\nblue.mp4,blue\n")
    (home / "one.csv").write_text("red.mp4,red\n")
    (home / "bad.mp4").write_bytes(b"plain text, no video " * 50)
    (home / "with_bad.csv").write_text("bad.mp4,red\ngreen.mp4,green\n")
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    with running_server(home / "models", env={"LAPS_VERSIONS": "all"}) as process:
        yield process


@pytest.fixture(autouse=True)
def _in_its_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


@pytest.fixture
def flaky() -> Iterator[Any]:
    def start(*script: Step) -> FlakyServer:
        return stack.enter_context(flaky_server(*script))

    with ExitStack() as stack:
        yield start


def asked(server: FlakyServer) -> list[dict[str, list[str]]]:
    """What was asked of each video that was sent."""
    return [exchange.query for exchange in server.exchanges if exchange.target.startswith("/classify")]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def scores_of(server: ServerProcess, video: str, model: str) -> dict[str, float]:
    query: dict[str, str | int] = {"model": model, "top_k": len(LABELS)}
    answer = httpx.post(f"{server.url}/classify", content=Path(video).read_bytes(), params=query).json()
    return {item["label"]: item["score"] for item in answer["predictions"]}


def test_the_mean_of_two_is_right_where_either_alone_is_not(laps: LapsCommand, server: ServerProcess) -> None:
    for alone, missed in (("no-red", "red"), ("no-green", "green")):
        report = json.loads(laps("evaluate", "list.csv", "--model", alone, "--json", url=server.url).out)
        assert report["top1"]["right"] == 2
        assert [item["label"] for item in report["confusions"]] == [missed]
        assert report["model"]["name"] == alone
    done = laps("evaluate", "list.csv", *BOTH, "--json", url=server.url)
    assert (done.status, done.err) == (0, "")
    report = json.loads(done.out)
    assert (report["top1"]["right"], report["top5"]["right"], report["scored"]) == (3, 3, 3)
    assert (report["model"], report["views"], report["claims"]) == (None, None, [])
    assert report["models"] == [
        {"name": "no-red", "version": 1, "views": "1x1"},
        {"name": "no-green", "version": 2, "views": "2x1"},
    ]


def test_the_report_names_both_and_says_that_it_is_of_their_mean(laps: LapsCommand, server: ServerProcess) -> None:
    done = laps("evaluate", "list.csv", *BOTH, "--views", "1x1", "--worst", 0, url=server.url)
    assert done.out.splitlines() == [
        "model      no-red 1, 1x1 views",
        "model      no-green 2, 1x1 views",
        "scores     the mean of 2 models'",
        "videos     3 scored of 3 listed",
        "top-1      100.00 %, 95 % interval 43.85 % to 100.00 %, 3 of 3",
        "top-5      100.00 %, 95 % interval 43.85 % to 100.00 %, 3 of 3",
    ]
    done = laps("evaluate", "list.csv", "--model", "each-alone", "--worst", 0, url=server.url)
    assert "note       the model is untrained: its weights are random" in done.out


def test_a_line_has_the_mean_of_the_scores_and_who_answered(
    laps: LapsCommand, server: ServerProcess, tmp_path: Path
) -> None:
    results = tmp_path / "r.jsonl"
    assert laps("evaluate", "list.csv", *BOTH, "--skip-done", results, url=server.url).status == 0
    lines = lines_of(results)
    assert sorted(line["path"] for line in lines) == sorted(VIDEOS)
    for line in lines:
        one, other = (scores_of(server, line["path"], model) for model in ("no-red", "no-green"))
        means = {label: (one[label] + other[label]) / 2 for label in LABELS}
        found = {item["label"]: item["score"] for item in line["predictions"]}
        assert list(found) == sorted(means, key=lambda label: -means[label])[:5]
        assert found == pytest.approx({label: means[label] for label in found}, abs=1e-5)
        answered = [(answer["model"]["name"], answer["views"]["temporal"]) for answer in line["answers"]]
        assert answered == [("no-red", 1), ("no-green", 2)]
        assert "model" not in line


def test_each_video_is_sent_once_to_each_model_and_all_scores_are_asked_for(
    laps: LapsCommand, server: ServerProcess, flaky: Any
) -> None:
    counting = flaky(forwarding(server.url))
    assert laps("evaluate", "list.csv", *BOTH, url=counting.url).status == 0
    queries = asked(counting)
    assert Counter((query["model"][0], query["version"][0]) for query in queries) == {
        ("no-red", "1"): 3,
        ("no-green", "2"): 3,
    }
    assert {query["top_k"][0] for query in queries} == {str(len(LABELS))}


def test_versions_of_one_model_can_be_named(laps: LapsCommand, server: ServerProcess) -> None:
    args = ("--model", "no-green/2", "--model", "no-green/1", "--json")
    report = json.loads(laps("evaluate", "list.csv", *args, url=server.url).out)
    assert [(each["name"], each["version"]) for each in report["models"]] == [("no-green", 2), ("no-green", 1)]
    assert report["top1"]["right"] == 3
    report = json.loads(laps("evaluate", "list.csv", "--model", "no-green/1", "--json", url=server.url).out)
    assert (report["model"], report["top1"]["right"]) == ({"name": "no-green", "version": 1}, 2)


def test_a_video_that_the_second_model_fails_on_has_failed_and_is_asked_again(
    laps: LapsCommand, server: ServerProcess, flaky: Any, tmp_path: Path
) -> None:
    results, forward = tmp_path / "r.jsonl", forwarding(server.url)
    args = ("evaluate", "one.csv", *BOTH, "--skip-done", results, "--json")
    # Ready, a model and the other, the video to the first.
    failed = flaky(forward, forward, forward, forward, failing(422, "video_damaged"))
    done = laps(*args, url=failed.url)
    assert (done.status, lines_of(results)) == (1, [])
    assert done.err.count("video_damaged happened") == 1
    assert [query["model"] for query in asked(failed)] == [["no-red"], ["no-green"]]
    report = json.loads(done.out)
    assert (report["scored"], report["failed"]) == (0, 1)
    again = flaky(forward)
    done = laps(*args, url=again.url)
    assert (done.status, len(asked(again)), len(lines_of(results))) == (0, 2, 1)


def test_a_video_that_the_first_model_fails_on_is_not_sent_to_the_second(
    laps: LapsCommand, server: ServerProcess, flaky: Any
) -> None:
    counting = flaky(forwarding(server.url))
    done = laps("evaluate", "with_bad.csv", *BOTH, "--json", url=counting.url)
    assert (done.status, done.err.count("bad.mp4: this is not a video")) == (1, 1)
    assert Counter(query["model"][0] for query in asked(counting)) == {"no-red": 2, "no-green": 1}
    report = json.loads(done.out)
    assert (report["scored"], report["failed"], report["top1"]["right"]) == (1, 1, 1)


@pytest.mark.parametrize("answers", range(6))
def test_a_run_that_broke_off_anywhere_is_gone_on_with(
    laps: LapsCommand, server: ServerProcess, flaky: Any, tmp_path: Path, answers: int
) -> None:
    results, forward = tmp_path / "r.jsonl", forwarding(server.url)
    args = ("evaluate", "list.csv", *BOTH, "--skip-done", results, "--json", "--concurrency", 1)
    gone = flaky(*[forward] * (3 + answers), failing(503, "shutting_down", {"Retry-After": "100"}))
    done = laps(*args, url=gone.url)
    assert (done.status, done.out) == (3, "")
    whole = lines_of(results)
    assert all(len(line["answers"]) == 2 for line in whole)
    assert answers - 4 <= len(whole) <= answers // 2, "no more is lost than what each model had in flight"
    counting = flaky(forward)
    for order in (BOTH, (*BOTH[2:], *BOTH[:2])):  # named the other way round it is the same mean
        done = laps("evaluate", "list.csv", *order, *args[6:], url=counting.url)
        assert (done.status, json.loads(done.out)["top1"]["right"]) == (0, 3)
        assert len(asked(counting)) == 2 * (len(VIDEOS) - len(whole))
    assert sorted(line["path"] for line in lines_of(results)) == sorted(VIDEOS)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (BOTH[:2], BOTH, "holds results of no-red 1 at 1x1, not of no-red 1 at 1x1 with no-green 2 at 2x1;"),
        (BOTH[2:], BOTH, "holds results of no-green 2 at 2x1, not of no-red 1 at 1x1 with no-green 2 at 2x1;"),
        (BOTH, BOTH[:2], "holds results of no-red 1 at 1x1 with no-green 2 at 2x1, not of no-red 1 at 1x1;"),
        (BOTH, (*BOTH[:3], "no-green/1"), "with no-green 2 at 2x1, not of no-red 1 at 1x1 with no-green 1 at 1x1;"),
        (BOTH, (*BOTH, "--views", "1x1"), "not of no-red 1 at 1x1 with no-green 2 at 1x1;"),
    ],
    ids=["one more", "one more before it", "one less", "another version", "other views"],
)
def test_results_of_other_models_are_not_mixed(
    laps: LapsCommand, server: ServerProcess, tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...], said: str
) -> None:
    results = tmp_path / "r.jsonl"
    assert laps("evaluate", "one.csv", *first, "--skip-done", results, url=server.url).status == 0
    before = results.read_bytes()
    done = laps("evaluate", "one.csv", *second, "--skip-done", results, url=server.url)
    assert (done.status, done.out, results.read_bytes()) == (2, "", before)
    assert said in done.err


@pytest.mark.parametrize("answers", [[], 3, [3], [{}], None], ids=str)
def test_a_line_whose_models_cannot_be_read_is_none_of_this_command(
    laps: LapsCommand, server: ServerProcess, tmp_path: Path, answers: Any
) -> None:
    results = tmp_path / "r.jsonl"
    assert laps("evaluate", "one.csv", *BOTH, "--skip-done", results, url=server.url).status == 0
    (line,) = lines_of(results)
    results.write_text(json.dumps({**line, "answers": answers}) + "\n")
    done = laps("evaluate", "one.csv", *BOTH, "--skip-done", results, url=server.url)
    assert (done.status, "no file of laps evaluate" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("no-red", "turned"), "label 1 is 'green' of no-red/1 and 'blue' of turned/1, and 1 more differ"),
        (("no-red", "renamed"), "label 0 is 'red' of no-red/1 and 'scarlet' of renamed/1; scores"),
        (("no-red", "no-green", "turned"), "label 1 is 'green' of no-red/1 and 'blue' of turned/1"),
        (("no-red", "four"), "no-red/1 has 7 labels and four/1 4; scores are averaged by the labels' indices"),
        (("no-red", "four"), "export them with the same labels file"),
        (("no-red", "each-alone"), "scores of no-red/1 are of softmax, those of each-alone/1 of sigmoid"),
        (("no-green", "no-green/2"), "no-green/2 is named twice; name each model once"),
        (("no-red", "none"), "no model 'none' is served"),
        (("no-red", "no-green/x"), "write it as NAME or NAME/VERSION"),
    ],
)
def test_models_whose_scores_have_no_mean_are_told_before_any_video_is_sent(
    laps: LapsCommand, server: ServerProcess, flaky: Any, models: tuple[str, ...], said: str
) -> None:
    counting = flaky(forwarding(server.url))
    done = laps("evaluate", "list.csv", *(part for name in models for part in ("--model", name)), url=counting.url)
    assert (done.status, done.out, asked(counting)) == (2, "", [])
    assert said in done.err


@pytest.mark.parametrize("models", [BOTH, ("--model", "no-green/2")], ids=["two models", "a version is named"])
def test_a_version_beside_several_models_is_wrong_use(laps: LapsCommand, models: tuple[str, ...]) -> None:
    done = laps("evaluate", "list.csv", *models, "--version", 1)
    assert done.status == 2
    assert "--model NAME/VERSION" in done.err


def ranking(**scores: float) -> Classification:
    predictions = sorted((-score, LABELS.index(label), label) for label, score in scores.items())
    answer = from_json(Classification, BODY)
    return replace(answer, predictions=tuple(Prediction(label, index, -score) for score, index, label in predictions))


def test_what_no_model_ranks_first_may_be_the_first_of_the_mean() -> None:
    one, other = ranking(red=0.5, green=0.4, blue=0.1), ranking(red=0.0, green=0.4, blue=0.6)
    found = mean_ranking([one, other])
    assert [(item.label, item.index) for item in found] == [("green", 1), ("blue", 2), ("red", 0)]
    assert [item.score for item in found] == pytest.approx([0.4, 0.35, 0.25])
    assert mean_ranking([other, one, other])[0].label == "blue"


def test_labels_of_the_same_mean_keep_their_order_and_one_answer_is_its_own_mean() -> None:
    one, other = ranking(red=0.25, green=0.5, blue=0.25), ranking(red=0.5, green=0.25, blue=0.25)
    assert [item.label for item in mean_ranking([one, other])] == ["red", "green", "blue"]
    assert mean_ranking([one]) == one.predictions
