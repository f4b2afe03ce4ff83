"""``laps`` against a real server, through a flaky proxy, killed, interrupted and on a terminal."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from laps_client import __version__
from laps_client.cli.watch import Arrivals
from support.flaky_server import (
    Exchange,
    FlakyServer,
    answering,
    cutting,
    dropping,
    dropping_after,
    failing,
    flaky_server,
    forwarding,
)
from support.laps_command import COMMAND, LapsCommand, on_terminal, started
from support.live_servers import ServerProcess, running_server
from support.model_repositories import slow_graph, write_model
from support.plain_videos import BLUE, GREEN, write_colour_video
from support.response_bodies import BODY, model

Flaky = Callable[..., FlakyServer]

MODEL = model(default_views="1x1").to_dict()
# Answers whatever is asked: readiness, the models, one of them, a video without segments.
ANYTHING = {**MODEL, "models": [MODEL], **BODY, "segments": None, "timeline": None, "embedding": None}


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(flaky_server(*script))


@pytest.fixture
def clips(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which is the current one: a clip, more in a folder, and what is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "more").mkdir()
    write_colour_video(tmp_path / "more" / "green one.mp4", [GREEN] * 20)
    (tmp_path / "bad.mp4").write_bytes(b"plain text, no video " * 50)
    return tmp_path


def test_files_and_folders_are_classified_and_a_pipe_gets_plain_lines(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    done = laps("classify", "clip.mp4", "more", "--top-k", 2, url=server.url)
    assert (done.status, done.err) == (0, "")
    rows = sorted(line.split("\t") for line in done.out.splitlines())
    assert [row[:3] for row in rows] == [
        ["clip.mp4", "1", "red"],
        ["clip.mp4", "2", "blue"],
        ["more/green one.mp4", "1", "green"],
        ["more/green one.mp4", "2", rows[3][2]],
    ]
    assert all(0 < float(row[3]) < 1 for row in rows)


def test_a_file_that_fails_stops_nobody_and_is_told_by_the_status(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    done = laps("classify", "bad.mp4", "clip.mp4", url=server.url)
    assert done.status == 1
    assert done.err.startswith("bad.mp4: this is not a video")
    assert "unsupported_container" in done.err
    assert {line.split("\t")[0] for line in done.out.splitlines()} == {"clip.mp4"}


def test_json_is_one_array_of_the_servers_answers(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "bad.mp4", "--json", url=server.url)
    rows = {row["path"]: row for row in json.loads(done.out)}
    answer = httpx.post(f"{server.url}/classify", content=Path("clip.mp4").read_bytes()).json()
    assert rows["clip.mp4"]["predictions"] == answer["predictions"]
    assert rows["clip.mp4"]["frames"] == answer["frames"]
    assert answer.keys() <= rows["clip.mp4"].keys()
    assert rows["bad.mp4"]["error"]["code"] == "unsupported_container"


def test_chosen_labels_are_ranked_alone(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "--labels", "dark,blue", url=server.url)
    assert [line.split("\t")[2] for line in done.out.splitlines()] == ["blue", "dark"]


def test_an_embedding_goes_to_json_and_to_a_results_file(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    (row,) = json.loads(laps("classify", "clip.mp4", "--embedding", "--json", url=server.url).out)
    assert sum(number * number for number in row["embedding"]) == pytest.approx(1, abs=1e-5)
    assert laps("classify", "clip.mp4", "--embedding", "--skip-done", "r.jsonl", url=server.url).status == 0
    assert json.loads(Path("r.jsonl").read_text())["embedding"] == row["embedding"]
    (plain,) = json.loads(laps("classify", "clip.mp4", "--json", url=server.url).out)
    assert plain["embedding"] is None


def test_jsonl_is_a_line_a_file(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "more", "--jsonl", "--no-frames", url=server.url)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert sorted(row["path"] for row in rows) == ["clip.mp4", "more/green one.mp4"]
    assert all(row["frames"] is None for row in rows)


def test_csv_has_names_and_a_line_a_prediction(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "bad.mp4", "--csv", "--top-k", 1, url=server.url)
    rows = {row["path"]: row for row in csv.DictReader(done.out.splitlines())}
    assert (rows["clip.mp4"]["label"], rows["clip.mp4"]["rank"], rows["clip.mp4"]["error"]) == ("red", "1", "")
    assert rows["bad.mp4"]["error"] == "unsupported_container"


def test_segments_have_lines_of_their_own(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "--segments", "1.2s", "--csv", "--plot", "out.png", url=server.url)
    assert (done.status, done.err) == (0, "wrote out.png\n")
    best = [row for row in csv.DictReader(done.out.splitlines()) if row["rank"] == "1"]
    assert [(row["start_s"], row["end_s"], row["label"]) for row in best] == [
        ("", "", "red"),
        ("0.0", "1.2", "red"),
        ("1.2", "2.0", "blue"),
    ]
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_has_a_panel_a_file(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "more", "--plot", "out.svg", url=server.url)
    assert (done.status, done.err) == (0, "wrote out.svg\n")
    assert Path("out.svg").read_text().count('id="axes_') == 2


def test_a_plot_of_what_is_done_comes_from_the_results_file(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    args = ("classify", "more", "--skip-done", "r.jsonl")
    assert laps(*args, "--jsonl", url=server.url).status == 0
    done = laps(*args, "clip.mp4", "--plot", "out.svg", url=server.url)
    assert (done.status, done.err) == (0, "1 files were done already\nwrote out.svg\n")
    assert Path("out.svg").read_text().count('id="axes_') == 2
    Path("out.svg").unlink()
    done = laps("classify", "clip.mp4", "--skip-done", "r.jsonl", "--plot", "out.svg", url=server.url)
    assert (done.status, done.err) == (0, "1 files were done already\nwrote out.svg\n")
    assert Path("out.svg").read_text().count('id="axes_') == 1, "not what else the results file holds"


def test_a_plot_of_nothing_says_why(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    assert laps("classify", "clip.mp4", "--skip-done", "r.jsonl", url=server.url).status == 0
    done = laps("classify", "clip.mp4", "--skip-done", "r.jsonl", "--plot", "out.svg", url=server.url)
    assert done.status == 0
    assert done.err == "1 files were done already\nnothing to draw; 1 files have no scores over time\n"
    done = laps("classify", "clip.mp4", "--segments", "1.2s", "--no-frames", "--plot", "out.svg", url=server.url)
    assert (done.status, done.err) == (0, "wrote out.svg\n"), "segments have scores without frames"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["classify", "missing.mp4"], "missing.mp4 is not there"),
        (["classify", "clip.mp4", "--views", "5"], "not of the form"),
        (["classify", "clip.mp4", "--model", "missing"], "served models: colours"),
        (["classify", "clip.mp4", "--version", "9"], "served versions: 1"),
        (["classify", "clip.mp4", "--top-k", "99"], "top_k"),
        (["classify", "clip.mp4", "--labels", "rad"], "did you mean red?"),
        (["classify", "clip.mp4", "--model", "untrained", "--embedding", "--jsonl"], "models that give one: colours"),
        (["classify", "clip.mp4", "--embedding"], "--embedding needs an output of JSON"),
        (["watch", "more", "--embedding", "--csv"], "--embedding needs an output of JSON"),
        (["classify", "clip.mp4", "--deadline", "0"], "--deadline"),
        (["classify", "clip.mp4", "--json", "--csv"], "choose one of --json and --csv"),
        (["classify", "clip.mp4", "--plot", "out.xyz"], "cannot write out.xyz"),
        (["classify", "clip.mp4", "--plot", "missing/out.png"], "no folder missing"),
        (["classify", "clip.mp4", "--header", "nonsense"], "no header"),
        (["classify", "clip.mp4", "--skip-done", "bad.mp4"], "no results file"),
        (["classify", "empty"], "no video found"),
        (["classify"], "Missing argument"),
        (["classify", "clip.mp4", "--plot", "folder.png"], "folder.png is a folder"),
        (["classify", "clip.mp4", "--plot", "out.png", "--no-frames"], "--no-frames"),
        (["classify", "clip.mp4", "--skip-done", "/dev/full"], "no file that holds lines"),
        (["classify", "clip.mp4", "--url", "nonsense"], "http://nonsense"),
        (["models", "--url", "127.0.0.1:8101"], "--url, or LAPS_URL, is '127.0.0.1:8101', which is no address; write"),
        (["models", "--url", "127.0.0.1:8101"], "write it as http://127.0.0.1:8101\n"),
        (["models", "--url", "ftp://host:1/x"], "write it as http://host:1/x\n"),
        (["models", "--url", " "], "write it as http://127.0.0.1:8000\n"),
        (["evaluate", "list.csv", "--classes", "more"], "--classes: more is a folder"),
        (["evaluate", "list.csv", "--confusion", "more"], "--confusion: more is a folder"),
        (["watch", "clip.mp4"], "is no folder"),
        (["models", "--labels"], "need the name"),
        (["models", "missing"], "no model"),
        (["evaluate", "missing.csv"], "No such file"),
        (["evaluate", "clip.mp4", "--classes", "missing/out.csv"], "no folder missing"),
        (["nonsense"], "No such command"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_wrong_use_is_two_and_says_what_is_right(
    laps: LapsCommand, server: ServerProcess, clips: Path, args: list[str], said: str
) -> None:
    (clips / "empty").mkdir()
    (clips / "folder.png").mkdir()
    done = laps(*args, url=server.url)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert (clips / "bad.mp4").read_bytes() == b"plain text, no video " * 50, "named by mistake, left as it was"


def test_no_server_is_three(laps: LapsCommand, clips: Path, flaky: Flaky) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    for args in (["classify", "clip.mp4"], ["models"], ["watch", "more"], ["evaluate", "list.csv"]):
        done = laps(*args, url=url)
        assert done.status == 3, args
        assert url in done.err
        assert "laps-server serve" in done.err
    loading = flaky(answering(503, {"status": "unavailable", "reason": "loading colours"}))
    done = laps("classify", "clip.mp4", url=loading.url)
    assert (done.status, "loading colours" in done.err) == (3, True)
    other = flaky(answering(404, b"<html>"))
    done = laps("classify", "clip.mp4", url=other.url)
    assert (done.status, "is --url a LAPS server?" in done.err) == (3, True)


def test_json_is_json_also_where_nothing_came_of_it(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    done = laps("classify", "clip.mp4", "--json", "--model", "missing", url=server.url)
    assert (done.status, json.loads(done.out)) == (2, [])


def test_a_server_that_goes_away_ends_the_run(laps: LapsCommand, flaky: Flaky, clips: Path) -> None:
    server = flaky(*[answering(200, ANYTHING)] * 4, dropping)
    names = [f"{number}.mp4" for number in range(50)]
    for name in names:
        Path(name).write_bytes(b"video")
    done = laps("classify", *names, "--concurrency", 1, "--skip-done", "r.jsonl", url=server.url)
    assert done.status == 3
    assert "not ready" in done.err
    assert [json.loads(line)["path"] for line in Path("r.jsonl").read_text().splitlines()] == ["0.mp4"]


def test_a_flaky_proxy_costs_no_file(laps: LapsCommand, flaky: Flaky, server: ServerProcess, clips: Path) -> None:
    forward = forwarding(server.url)
    proxy = flaky(
        forward,
        dropping_after(200),
        failing(503, "overloaded", {"Retry-After": "0"}),
        forward,
        answering(502, b"<html>Bad Gateway</html>"),
        forward,
    )
    done = laps("classify", "clip.mp4", "more", "--concurrency", 1, "--top-k", 1, url=proxy.url)
    assert (done.status, done.err) == (0, "")
    assert [line.split("\t")[2] for line in done.out.splitlines()] == ["red", "green"]


def test_a_proxy_that_cuts_what_the_server_tells_costs_no_file(
    laps: LapsCommand, flaky: Flaky, server: ServerProcess, clips: Path
) -> None:
    proxy = flaky(forwarding(server.url), cutting(server.url, b"event: segment"), forwarding(server.url))
    done = laps("classify", "clip.mp4", "--segments", "1.2s", "--top-k", 1, url=proxy.url)
    assert (done.status, done.err) == (0, "")
    assert [line.split("\t")[4] for line in done.out.splitlines()] == ["red", "red", "blue"]
    assert [exchange.headers["accept"] for exchange in proxy.exchanges[1:]] == ["text/event-stream"] * 2


def test_headers_are_sent_with_every_request(laps: LapsCommand, flaky: Flaky, clips: Path) -> None:
    server = flaky(answering(200, BODY))
    laps("classify", "clip.mp4", "--header", "Authorization: Bearer a:b", url=server.url)
    assert [exchange.headers["authorization"] for exchange in server.exchanges] == ["Bearer a:b"] * 2


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden")])
def test_a_run_ends_at_the_first_refusal_of_its_key(
    laps: LapsCommand, flaky: Flaky, clips: Path, status: int, code: str
) -> None:
    """Here of one that is revoked after the first file: neither the others nor a health check follow."""
    server = flaky(answering(200, ANYTHING), answering(200, ANYTHING), failing(status, code))
    for number in range(5):
        (clips / f"{number}.mp4").write_bytes(b"video")
    done = laps("classify", clips, "--concurrency", 1, "--api-key", "k", url=server.url)
    assert (done.status, len(server.exchanges)) == (2, 3)
    assert [exchange.headers["authorization"] for exchange in server.exchanges] == ["Bearer k"] * 3


def test_options_of_the_command_line_reach_the_server(laps: LapsCommand, flaky: Flaky, clips: Path) -> None:
    server = flaky(answering(200, BODY))
    model = ("--model", "m", "--version", 2, "--views", "1x1", "--top-k", 3)
    how = ("--segments", "2m", "--deadline", 20, "--no-frames")
    labels = ("--labels", "red,blue", "--labels", "dark, or so", "--embedding", "--json")
    assert laps("classify", "clip.mp4", *model, *how, *labels, url=server.url).status == 0
    given = dict(server.exchanges[1].query)
    assert given.pop("labels") == ["red,blue", "dark, or so"]
    query = {name: value for name, (value,) in given.items()}
    assert 15_000 < int(query.pop("deadline_ms")) < 20_000
    assert query == {
        "model": "m",
        "version": "2",
        "views": "1x1",
        "top_k": "3",
        "segments": "2m",
        "frames": "false",
        "embedding": "true",
    }


def test_a_segment_length_that_one_video_refuses_is_that_videos_failure(
    laps: LapsCommand, flaky: Flaky, clips: Path
) -> None:
    ready, refused = answering(200, {}), failing(422, "bad_parameter")
    server = flaky(ready, refused, answering(200, BODY))
    done = laps("classify", "clip.mp4", "more", "--segments", "1s", "--concurrency", 1, url=server.url)
    assert done.status == 1
    assert "more/green one.mp4" in done.out


def test_warnings_are_told_once_and_not_to_who_wants_quiet(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    done = laps("classify", "clip.mp4", "more", "--model", "untrained", url=server.url)
    assert done.status == 0
    assert done.err.count("warning: model 'untrained' is untrained") == 1
    assert laps("classify", "clip.mp4", "--model", "untrained", "--quiet", url=server.url).err == ""
    assert laps("classify", "bad.mp4", "--quiet", url=server.url).err.startswith("bad.mp4: ")


def test_what_is_done_is_skipped_and_what_failed_is_tried_again(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    first = laps("classify", "clip.mp4", "bad.mp4", "--skip-done", "r.jsonl", url=server.url)
    assert first.status == 1
    lines = Path("r.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["clip.mp4"]
    second = laps("classify", str(clips), "--skip-done", "r.jsonl", url=server.url)
    assert second.status == 1
    assert "1 files were done already" in second.err
    assert {line.split("\t")[0] for line in second.out.splitlines()} == {str(clips / "more" / "green one.mp4")}
    (clips / "bad.mp4").unlink()
    third = laps("classify", str(clips), "more/green one.mp4", "--skip-done", "r.jsonl", url=server.url)
    assert (third.status, third.out) == (0, "")
    assert len(Path("r.jsonl").read_text().splitlines()) == 2


def test_a_file_named_twice_has_one_line(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    laps("classify", "clip.mp4", "./clip.mp4", "--skip-done", "r.jsonl", url=server.url)
    assert len(Path("r.jsonl").read_text().splitlines()) == 1


def test_standard_output_may_be_the_results_file_itself(server: ServerProcess, clips: Path) -> None:
    for _ in range(2):
        with Path("r.jsonl").open("ab") as results:
            args = ("classify", "clip.mp4", "more", "--jsonl", "--skip-done", "r.jsonl")
            process = started(*args, url=server.url, stdout=results)
            assert process.wait(120) == 0, process.communicate()
            process.communicate()
    assert len([json.loads(line) for line in Path("r.jsonl").read_text().splitlines()]) == 2
    with Path("r.jsonl").open("ab") as results:
        process = started("classify", "clip.mp4", "--skip-done", "r.jsonl", url=server.url, stdout=results)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "add --jsonl" in said


def test_a_results_file_is_of_the_files_it_was_written_for_wherever_the_next_run_stands(
    laps: LapsCommand, server: ServerProcess, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clips / "other").mkdir()
    (clips / "other" / "clip.mp4").write_bytes((clips / "more" / "green one.mp4").read_bytes())
    (clips / "link").symlink_to(clips / "other")
    results = clips / "r.jsonl"
    args = ("--top-k", 1, "--skip-done", results)
    assert laps("classify", "clip.mp4", *args, url=server.url).out.startswith("clip.mp4\t1\tred\t")
    monkeypatch.chdir("other")
    other = laps("classify", "clip.mp4", *args, url=server.url)
    assert (other.err, other.out.split("\t")[:3]) == ("", ["clip.mp4", "1", "green"]), "another file of that name"
    monkeypatch.chdir(clips)
    again = laps("classify", "other", "more/../clip.mp4", "link/clip.mp4", "link/../clip.mp4", *args, url=server.url)
    assert (again.status, again.out, again.err) == (0, "", "2 files were done already\n")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(row["path"], row["file"]) for row in rows] == [
        ("clip.mp4", str(clips / "clip.mp4")),
        ("clip.mp4", str(clips / "other" / "clip.mp4")),
    ]


def test_lines_of_an_older_version_and_of_jsonl_are_gone_on_with(
    laps: LapsCommand, server: ServerProcess, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = laps("classify", "clip.mp4", "bad.mp4", "--jsonl", url=server.url).out
    rows = {row["path"]: row for row in map(json.loads, printed.splitlines())}
    Path("new.jsonl").write_text(printed)
    del rows["clip.mp4"]["file"]
    Path("old.jsonl").write_text(json.dumps(rows["clip.mp4"]) + "\n")
    done = laps("classify", "clip.mp4", "--skip-done", "old.jsonl", url=server.url)
    assert (done.out, done.err) == ("", "1 files were done already\n")
    monkeypatch.chdir("more")
    done = laps("classify", "../clip.mp4", "--skip-done", "../new.jsonl", url=server.url)
    assert (done.out, done.err) == ("", "1 files were done already\n")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["--views", "2x1"], "not of colours 1 at 2x1 in segments of 1.2 s"),
        (["--model", "untrained"], "not of untrained 1 at 2x3 in segments of 1.2 s"),
        (["--segments", "1m"], "not of colours 1 at 2x3 in segments of 60 s"),
        (None, "not of colours 1 at 2x3;"),
    ],
    ids=["views", "model", "length of segments", "no segments"],
)
def test_a_results_file_is_of_one_question(
    laps: LapsCommand, server: ServerProcess, clips: Path, others: list[str] | None, said: str
) -> None:
    results = Path("r.jsonl")
    first = ("classify", "clip.mp4", "--skip-done", results, "--segments", "1.2s")
    assert laps(*first, url=server.url).status == 0
    before = results.read_bytes()
    for command in ("classify", "watch"):
        args = [command, "more", "--skip-done", results, *(["--segments", "1.2s", *others] if others else [])]
        done = laps(*args, url=server.url)
        assert (done.status, done.out, results.read_bytes()) == (2, "", before)
        assert f"r.jsonl holds results of colours 1 at 2x3 in segments of 1.2 s, {said}" in done.err
    done = laps(*first, "--model", "colours", "--version", 1, "--views", "02x3", "more", url=server.url)
    assert (done.status, done.err) == (0, "1 files were done already\n"), "the same in other words"


def test_the_version_of_a_results_file_is_named_to_the_server(
    laps: LapsCommand, flaky: Flaky, server: ServerProcess, clips: Path
) -> None:
    proxy = flaky(forwarding(server.url))
    assert laps("classify", "clip.mp4", "--skip-done", "r.jsonl", url=proxy.url).status == 0
    asked = proxy.exchanges[-1].query
    assert (asked["model"], asked["version"]) == (["colours"], ["1"])


def paths_in(results: Path) -> list[str]:
    whole = results.read_bytes().rpartition(b"\n")[0] if results.exists() else b""
    return [json.loads(line)["path"] for line in whole.splitlines()]


def wait_until(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_is_gone_on_with_and_no_file_counts_twice(
    laps: LapsCommand, flaky: Flaky, clips: Path, sig: signal.Signals
) -> None:
    names = [f"many/{number:02}.mp4" for number in range(20)]
    (clips / "many").mkdir()
    for name in names:
        Path(name).write_bytes(name.encode())
    server = flaky(answering(200, ANYTHING, after_s=0.15))
    results = Path("r.jsonl")
    process = started("classify", "many", "--skip-done", results, "--concurrency", 2, url=server.url)
    wait_until(lambda: len(paths_in(results)) >= 3)
    process.send_signal(sig)
    said = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[sig], said
    assert "Traceback" not in said[1]
    before = paths_in(results)
    assert 3 <= len(before) < len(names)
    with results.open("ab") as file:  # as a kill within a write would leave it
        file.write(b'{"path": "many/19')
    assert laps("classify", "many", "--skip-done", results, url=server.url).status == 0
    assert Counter(paths_in(results)) == Counter(names)
    sent = Counter(exchange.body.decode() for exchange in server.exchanges if exchange.body)
    assert sum(sent.values()) <= len(names) + 2, "only what was in flight is sent again"
    assert all(sent[name] == 1 for name in before)


def test_an_interrupt_ends_the_servers_work(flaky: Flaky, clips: Path) -> None:
    left: list[bytes] = []

    def work(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        if exchange.target == "/readyz":
            exchange.answer(200, b"{}")
            return
        left.append(exchange.connection.recv(1))

    server = flaky(work)
    process = started("classify", "clip.mp4", "--json", url=server.url)
    wait_until(lambda: len(server.exchanges) == 2 and bool(server.exchanges[1].body))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out), err.strip()) == (130, [], "interrupted")
    wait_until(lambda: left == [b""])


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("source", ["pipe.mp4", "/dev/stdin"])
def test_a_source_that_blocks_can_be_left(server: ServerProcess, clips: Path, source: str, sig: signal.Signals) -> None:
    os.mkfifo("pipe.mp4")
    reading, writing = os.pipe()  # nothing is written there, and it is not closed
    process = started("classify", "clip.mp4", source, "--top-k", 1, url=server.url, stdin=reading)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("clip.mp4\t"), "meanwhile the others go on"
        process.send_signal(sig)
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)
    assert (process.returncode, said.count("\n")) == (128 + sig, 1)


def test_a_closed_pipe_is_no_error_to_look_at(server: ServerProcess, clips: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = started("classify", "clip.mp4", url=server.url, stdout=writing)
    os.close(writing)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (141, "")


def test_results_do_not_depend_on_who_reads_messages(server: ServerProcess, clips: Path) -> None:
    for stderr in ("gone", "/dev/full"):
        with ExitStack() as stack:
            if stderr == "gone":
                reading, writing = os.pipe()
                stack.callback(os.close, writing)
                # Whoever reads leaves after the first line.
                stack.callback(subprocess.Popen(["head", "-n", "1"], stdin=reading, stdout=subprocess.DEVNULL).wait)
                os.close(reading)
            else:
                writing = stack.enter_context(Path(stderr).open("wb")).fileno()
            names = ["bad.mp4", "./bad.mp4", "more/../bad.mp4", "clip.mp4", "more"]
            args = ("classify", *names, "--concurrency", 1, "--top-k", 1)
            process = started(*args, url=server.url, stderr=writing)
            out, _ = process.communicate(timeout=60)
        assert (process.returncode, len(out.splitlines())) == (1, 2), stderr


@pytest.mark.parametrize("args", [["missing.mp4"], ["clip.mp4", "--json", "--csv"]], ids=" ".join)
def test_wrong_use_is_two_also_where_nobody_reads_why(server: ServerProcess, clips: Path, args: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = started("classify", *args, url=server.url, stderr=writing)
    os.close(writing)
    process.communicate(timeout=60)
    assert process.returncode == 2


def run_in_bash(line: str, url: str) -> tuple[int, str]:
    """Status of ``laps`` in a line of bash, and what it said."""
    script = f'laps() {{ {shlex.join(COMMAND)} "$@"; }}; {line}'
    env = {**os.environ, "LAPS_URL": url}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("laps classify clip.mp4 > /dev/full", "laps: standard output: No space left on device"),
        ("laps classify clip.mp4 --json > /dev/full", "laps: standard output: No space left on device"),
        ("laps classify clip.mp4 --csv > /dev/full", "laps: standard output: No space left on device"),
        ("laps --version > /dev/full", "laps: standard output: No space left on device"),
        ("laps classify --help > /dev/full", "laps: standard output: No space left on device"),
        ("laps models > /dev/full", "laps: standard output: No space left on device"),
        ("laps classify clip.mp4 >&-", "laps: standard output is closed; send it to a file, or to /dev/null"),
        ("ulimit -f 1; laps classify clip.mp4 more --skip-done r.jsonl --json", "laps: r.jsonl: File too large; "),
        ("ulimit -f 1; laps classify clip.mp4 --plot out.svg", "laps: out.svg: File too large"),
    ],
)
def test_what_cannot_be_written_is_four_and_a_line(server: ServerProcess, clips: Path, line: str, said: str) -> None:
    status, err = run_in_bash(line, server.url)
    assert (status, err.count("\n")) == (4, 1), err
    assert err.startswith(said)


def test_a_results_file_that_met_a_full_disk_is_gone_on_with(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    args = "classify clip.mp4 more --concurrency 1 --skip-done r.jsonl --json"
    assert laps("classify", "clip.mp4", "--skip-done", "r.jsonl", url=server.url).status == 0
    limit_kib = Path("r.jsonl").stat().st_size // 1024 + 1  # room for the line that is there, not for two
    assert run_in_bash(f"ulimit -f {limit_kib}; laps {args}", server.url)[0] == 4
    assert Path("r.jsonl").stat().st_size == 1024 * limit_kib, "half a line is left"
    assert laps(*args.split(), url=server.url).status == 0
    assert paths_in(Path("r.jsonl")) == ["clip.mp4", "more/green one.mp4"]


def test_a_name_that_is_no_text_passes_through_a_pipe(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe.mp4")
    (clips / "clip.mp4").rename(odd)
    assert laps("classify", odd, "--top-k", 1, url=server.url).out.startswith("\\udcff\\udcfe.mp4\t1\tred\t")
    with Path("out.csv").open("wb") as out:
        process = started("classify", odd, "--csv", url=server.url, stdout=out)
        process.communicate(timeout=120)
    assert Path("out.csv").read_bytes().splitlines()[1].startswith(b"\xff\xfe.mp4,")
    assert json.loads(laps("classify", odd, "--json", url=server.url).out)[0]["path"] == odd


def test_a_terminal_shows_blocks_and_bars_of_uploads(server: ServerProcess, clips: Path) -> None:
    status, shown, raw = on_terminal("classify", "clip.mp4", "bad.mp4", url=server.url, cwd=clips)
    assert status == 1
    assert re.search(r"^clip\.mp4  2\.0 s, mpeg4 64x48, colours 1 at 2x3", shown, re.MULTILINE)
    assert re.search(r"^  red +0\.9\d\d  █+.  +█+▁$", shown, re.MULTILINE)
    assert re.search(r"^  blue +0\.0\d\d +▏ +▁+█$", shown, re.MULTILINE)
    assert re.search(r"clip\.mp4 +━+ ", shown), "a bar for the upload"
    assert "bad.mp4: this is not a video" in shown
    assert "\x1b[" in raw
    assert raw.rfind("\x1b[?25h") > raw.rfind("\x1b[?25l") >= 0, "the cursor is there again"


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--views", "2x1"], "1 of 2 views, red"), (["--segments", "1.2s"], "1 of 2 segments, red")],
    ids=["views", "segments"],
)
def test_a_terminal_shows_how_far_the_server_is(tmp_path: Path, clips: Path, options: list[str], told: str) -> None:
    models = tmp_path / "slow"
    write_model(models, graph=slow_graph(frames=4, size=32, classes=4), default_views="1x1")
    with running_server(models, env={"LAPS_MAX_BATCH_VIEWS": "1"}) as slow:
        status, shown, _ = on_terminal("classify", "clip.mp4", *options, url=slow.url, cwd=clips)
    assert status == 0
    assert re.search(rf"clip\.mp4 +━.* {told} ", shown), shown


def test_colours_are_left_out_where_nobody_wants_them(
    server: ServerProcess, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("out.txt").open("w") as out:
        process = started("classify", "clip.mp4", url=server.url, stdout=out)
        _, said = process.communicate(timeout=120)
    assert (said, "\x1b" in Path("out.txt").read_text()) == ("", False)


def test_models_are_listed(laps: LapsCommand, server: ServerProcess) -> None:
    done = laps("models", url=server.url)
    assert (done.status, done.err) == (0, "")
    assert [line.split("\t") for line in done.out.splitlines()] == [
        ["colours", "1", "colour, mean", "colours (4)", "2x3", "0.25", "1.50", "default"],
        ["untrained", "1", "colour, mean", "colours (4)", "2x3", "-", "-", "untrained"],
    ]
    assert json.loads(laps("models", "--json", url=server.url).out) == httpx.get(f"{server.url}/models").json()


def test_one_model_is_shown_in_full(laps: LapsCommand, server: ServerProcess) -> None:
    rows = [line.split("\t") for line in laps("models", "colours", url=server.url).out.splitlines()]
    assert rows[2:7] == [
        ["family", "colour, mean"],
        ["views", "2x3"],
        ["GMACs a view", "0.25"],
        ["GMACs a video", "1.50"],
        ["parameters", "1.50 million"],
    ]
    assert "\nparameters\t-\n" in laps("models", "untrained", url=server.url).out
    assert ["clip", "4 frames, 2 apart, 32x32"] in rows
    assert ["engine", "ort, float32"] in rows
    assert ["metrics", "top1 1.0"] in rows
    assert laps("models", "colours", "--labels", url=server.url).out == "red\ngreen\nblue\ndark\n"
    answer = httpx.get(f"{server.url}/models/colours").json()
    assert json.loads(laps("models", "colours", "--version", 1, "--json", url=server.url).out) == answer


def test_models_on_a_terminal_are_a_table(server: ServerProcess, tmp_path: Path) -> None:
    status, shown, _ = on_terminal("models", url=server.url, cwd=tmp_path)
    assert status == 0
    assert re.search(r"^name +versions +family", shown, re.MULTILINE)
    assert re.search(r"^colours +1 +colour, mean +colours \(4\) +2x3 +0\.25 +1\.50 +default", shown, re.MULTILINE)


def test_what_arrives_is_classified_and_what_is_there_is_not(server: ServerProcess, clips: Path) -> None:
    folder = clips / "in"
    folder.mkdir()
    (folder / "old.mp4").write_bytes((clips / "clip.mp4").read_bytes())
    args = ("--interval", 0.1, "--settle", 0.3, "--jsonl", "--skip-done", "r.jsonl")
    process = started("watch", "in", *args, url=server.url)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.readline() == "watching in\n"
    (folder / "notes.txt").write_text("no video")
    content = (clips / "clip.mp4").read_bytes()
    with (folder / "new.mp4").open("wb") as file:  # slowly, as a copy over a network
        for start in range(0, len(content), len(content) // 5 + 1):
            file.write(content[start : start + len(content) // 5 + 1])
            file.flush()
            time.sleep(0.1)
    row = json.loads(process.stdout.readline())
    assert (row["path"], row["predictions"][0]["label"]) == ("in/new.mp4", "red")
    write_colour_video(folder / "blue.mp4", [BLUE] * 20)
    assert json.loads(process.stdout.readline())["path"] == "in/blue.mp4"
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest, said) == (130, "", "interrupted\n")
    assert paths_in(Path("r.jsonl")) == ["in/new.mp4", "in/blue.mp4"]
    process = started("watch", "in", *args, "--existing", url=server.url)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["path"] == "in/old.mp4", "the one that is not done"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (143, "")


def test_watching_outlives_the_server(flaky: Flaky, clips: Path) -> None:
    ready = answering(200, {})
    down = failing(503, "shutting_down", {"Retry-After": "100"})
    server = flaky(ready, down, down, down, ready, answering(200, BODY))
    process = started("watch", "more", "--existing", "--interval", 0.1, "--settle", 0.1, url=server.url)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("more/green one.mp4\t")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    asked = [exchange.target.split("?")[0] for exchange in server.exchanges[:6]]
    assert asked == ["/readyz", "/classify", "/readyz", "/readyz", "/readyz", "/classify"]


def test_a_file_that_crashed_the_decoder_is_not_sent_again_in_later_runs_either(
    laps: LapsCommand, flaky: Flaky, clips: Path
) -> None:
    error = {"code": "decoder_crashed", "message": "it crashed", "hint": None, "request_id": "x"}

    def crashing(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read_body()
        if exchange.target.startswith("/classify") and exchange.body == b"bomb":
            exchange.answer(422, json.dumps({"error": error}).encode())
        else:
            exchange.answer(200, json.dumps(ANYTHING).encode())

    server = flaky(crashing)
    folder = clips / "in"
    folder.mkdir()
    (folder / "bomb.mp4").write_bytes(b"bomb")

    def sent() -> list[bytes]:
        return [exchange.body for exchange in server.exchanges if exchange.target.startswith("/classify")]

    args = ("--existing", "--interval", 0.05, "--settle", 0.05, "--jsonl", "--skip-done", "r.jsonl")
    for run in range(2):  # with another file that arrives in each
        (folder / f"{run}.mp4").write_bytes(b"video")
        process = started("watch", "in", *args, url=server.url)
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(1 if run else 2)]
        assert {row["path"]: row.get("error", {}).get("code") for row in rows if "error" in row} == (
            {} if run else {"in/bomb.mp4": "decoder_crashed"}
        )
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == ""
    assert sorted(sent()) == [b"bomb", b"video", b"video"]
    assert "3 files were done already" in laps("classify", "in", "--skip-done", "r.jsonl", url=server.url).err
    (folder / "bomb.mp4").write_bytes(b"mended")
    lines = Path("r.jsonl").read_text().splitlines(keepends=True)
    Path("r.jsonl").write_text("".join(line for line in lines if "bomb" not in line))
    assert laps("classify", "in", "--skip-done", "r.jsonl", url=server.url).status == 0
    assert sent()[-1] == b"mended", "without its line it is tried again"


def test_a_file_for_which_there_is_too_little_time_is_not_sent_for_ever(flaky: Flaky, clips: Path) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.read_head()
        if exchange.target == "/readyz":
            exchange.answer(200, b"{}")
        else:
            exchange.stop.wait(10)

    server = flaky(slow)
    args = ("--existing", "--interval", 0.05, "--settle", 0.05, "--deadline", 0.3)
    process = started("watch", "more", *args, "--jsonl", url=server.url)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["error"]["code"] == "deadline_exceeded"
    (clips / "more" / "new.mp4").write_bytes(b"video")
    assert json.loads(process.stdout.readline())["path"] == "more/new.mp4", "the next is another file"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert rest == ""
    sent = [exchange for exchange in server.exchanges if exchange.target.startswith("/classify")]
    assert len(sent) == 2


def test_a_file_has_arrived_when_it_rests_and_again_when_it_changed() -> None:
    arrivals = Arrivals(settle_s=2)
    one, two = Path("1.mp4"), Path("2.mp4")
    assert arrivals.look({one: (10, 1)}, 0) == []
    assert arrivals.look({one: (20, 2)}, 1) == []
    assert arrivals.look({one: (20, 2), two: (0, 1)}, 2.9) == []
    assert arrivals.look({one: (20, 2), two: (0, 1)}, 3) == [one]
    assert arrivals.look({one: (20, 2), two: (0, 1)}, 9) == []
    assert arrivals.look({one: (30, 3), two: (5, 2)}, 10) == []
    assert arrivals.look({one: (30, 3), two: (5, 2)}, 12) == [one, two]
    assert arrivals.look({}, 13) == []
    assert arrivals.look({one: (30, 3)}, 14) == []
    assert arrivals.look({one: (30, 3)}, 16) == [one], "gone and back is an arrival"
    arrivals.forget(one)
    assert arrivals.look({one: (30, 3)}, 17) == []
    assert arrivals.look({one: (30, 3)}, 19) == [one]
    arrivals.take_as_known(two, (5, 2))
    assert arrivals.look({one: (30, 3), two: (5, 2)}, 30) == []


@pytest.fixture
def labelled(clips: Path) -> Path:
    """A list in the Kinetics way: three right, one wrong, one that cannot be decoded, one that is not there."""
    write_colour_video(clips / "more" / "blue.mp4", [BLUE] * 20)
    lines = ["clip.mp4 0", "more/green one.mp4 1", "more/blue.mp4 2", "bad.mp4 1", "gone.mp4 1", "./clip.mp4 3"]
    (clips / "list.txt").write_text("\n".join(lines))
    return clips / "list.txt"


def test_a_list_is_scored_with_intervals_beside_the_manifests_claims(
    laps: LapsCommand, server: ServerProcess, labelled: Path
) -> None:
    done = laps("evaluate", labelled, "--classes", "classes.csv", "--confusion", "matrix.csv", url=server.url)
    assert done.status == 1
    assert "gone.mp4: No such file" in done.err
    lines = done.out.splitlines()
    assert lines[:5] == [
        "model      colours 1, 2x3 views",
        "videos     4 scored of 6 listed",
        "top-1      75.00 %, 95 % interval 30.06 % to 95.44 %, 3 of 4",
        "failed     2, not counted above; as wrong answers: top-1 50.00 %",
        "manifest   top1 100.00 %, above the interval measured",
    ]
    assert "  dark for red  1 of 1" in lines
    assert Path("classes.csv").read_text().splitlines()[1].startswith("red,0,1,1,1.000000,")
    assert Path("matrix.csv").read_text().splitlines()[-1] == "dark,1,0,0,0"


def test_an_evaluation_is_gone_on_with(laps: LapsCommand, flaky: Flaky, server: ServerProcess, labelled: Path) -> None:
    forward = forwarding(server.url)
    args = ("evaluate", labelled, "--skip-done", "r.jsonl", "--json", "--views", "01x1", "--concurrency", 1)
    # Ready, the list of models, the model, one video; then the server is gone.
    gone = flaky(forward, forward, forward, forward, failing(503, "shutting_down", {"Retry-After": "100"}))
    first = laps(*args, url=gone.url)
    assert (first.status, first.out) == (3, "")
    assert paths_in(Path("r.jsonl")) == ["clip.mp4"]
    counting = flaky(forward)
    second = laps(*args, url=counting.url)
    assert second.status == 1
    assert Counter(paths_in(Path("r.jsonl"))) == Counter(
        ["clip.mp4", "more/green one.mp4", "more/blue.mp4", "./clip.mp4"]
    )
    sent = [exchange for exchange in counting.exchanges if exchange.target.startswith("/classify")]
    assert len(sent) == 4, "all but the one that is done and the one that is not there"
    assert {exchange.query["version"][0] for exchange in sent} == {"1"}
    document = json.loads(second.out)
    assert (document["scored"], document["top1"]["right"], document["views"]) == (4, 3, "1x1")
    assert json.loads(laps(*args, url=server.url).out) == document


@pytest.mark.parametrize("other", [["--views", "2x1"], ["--model", "untrained"]], ids=["views", "model"])
def test_results_of_another_model_or_other_views_are_not_mixed(
    laps: LapsCommand, server: ServerProcess, labelled: Path, other: list[str]
) -> None:
    args = ("evaluate", labelled, "--skip-done", "r.jsonl", "-q")
    assert laps(*args, "--views", "1x1", url=server.url).status == 1
    before = Path("r.jsonl").read_bytes()
    done = laps(*args, *other, url=server.url)
    assert (done.status, done.out) == (2, "")
    assert "holds results of colours 1 at 1x1" in done.err
    done = laps("classify", "clip.mp4", "--skip-done", "r.jsonl", url=server.url)
    assert (done.status, "laps evaluate" in done.err) == (2, True)
    assert Path("r.jsonl").read_bytes() == before
    laps("classify", "clip.mp4", "--skip-done", "c.jsonl", url=server.url)
    done = laps("evaluate", labelled, "--skip-done", "c.jsonl", url=server.url)
    assert (done.status, "no file of laps evaluate" in done.err) == (2, True)


def test_results_of_one_root_are_not_those_of_another(laps: LapsCommand, server: ServerProcess, clips: Path) -> None:
    (clips / "list.csv").write_text("clip.mp4,red\n")
    args = ("evaluate", "list.csv", "--skip-done", "r.jsonl")
    assert laps(*args, url=server.url).status == 0
    before = Path("r.jsonl").read_text()
    assert json.loads(before)["file"] == str(clips / "clip.mp4")
    (clips / "more" / "clip.mp4").write_bytes(b"no video")
    done = laps(*args, "--root", "more", url=server.url)
    assert (done.status, done.out, Path("r.jsonl").read_text()) == (2, "", before)
    assert f"at {clips}/clip.mp4, not of the one at {clips}/more/clip.mp4" in done.err
    assert laps(*args, "--root", clips / "more" / "..", url=server.url).status == 0
    Path("r.jsonl").write_text(json.dumps({key: value for key, value in json.loads(before).items() if key != "file"}))
    assert laps(*args, url=server.url).status == 0, "as an older version wrote it"


def test_a_list_by_names_with_a_root_and_labels_in_any_case(
    laps: LapsCommand, server: ServerProcess, clips: Path
) -> None:
    (clips / "lists").mkdir()
    (clips / "lists" / "list.csv").write_text('path,label\nclip.mp4,Red\n"more/green one.mp4",green\n')
    assert laps("evaluate", "lists/list.csv", url=server.url).status == 1
    done = laps("evaluate", "lists/list.csv", "--root", clips, "--json", url=server.url)
    assert (done.status, json.loads(done.out)["top1"]["value"]) == (0, 1.0)


def test_the_version(laps: LapsCommand) -> None:
    assert laps("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("typed", "offered"), [(["cl"], "classify"), (["classify", "--skip"], "--skip-done"), (["classify", "cl"], "")]
)
def test_bash_completes_what_is_typed(tmp_path: Path, typed: list[str], offered: str) -> None:
    """As an interactive shell does; where nothing of ours fits, it goes on to names of files by itself."""
    command = tmp_path / "laps"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    words = shlex.join(["laps", *typed])
    script = f'eval "$(_LAPS_COMPLETE=source_bash laps)"; COMP_WORDS=({words}) COMP_CWORD={len(typed)}'
    done = subprocess.run(
        ["bash", "-c", f'{script}; complete -p laps >&2; _laps_completion laps; echo "${{COMPREPLY[*]}}"'],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{offered}\n")
    assert done.stderr == "complete -o default -F _laps_completion laps\n"


def test_the_installed_command_is_this_one() -> None:
    command = Path(sys.executable).with_name("laps")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_extra_says_what_to_install(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from laps_client.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"laps: {package} is not installed; it comes with: pip install 'laps-client[cli]'\n"
