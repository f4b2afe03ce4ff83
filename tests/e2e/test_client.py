"""The client and its command line on real videos, against a real server with an exported model: LAPS, but small."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from laps_client import Accepted, Classification, Decoded, LapsClient, Partial, SegmentDone
from laps_export.graph.parity import ParityGate
from laps_export.repository.write_version import write_version
from support.golden_videos import golden_video
from support.laps_command import COMMAND
from support.live_servers import ServerProcess, running_server
from support.small_laps import small_version_request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("small") / "models"
    request = small_version_request()
    write_version(request, repository, gate=ParityGate(batch_sizes=(1,)))
    with running_server(repository) as process:
        yield process


def scores(result: Classification) -> dict[str, float]:
    return {item.label: item.score for item in result.predictions}


def laps(*args: object, server: ServerProcess, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "LAPS_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stream_tells_of_every_view_and_ends_in_what_classify_answers(server: ServerProcess) -> None:
    with LapsClient(server.url) as client:
        accepted, decoded, *partials, result = client.stream(golden_video("carphone"), views="2x3")
        answer = client.classify(golden_video("carphone"), views="2x3")
    assert isinstance(accepted, Accepted)
    assert accepted.upload_bytes == golden_video("carphone").stat().st_size
    assert isinstance(decoded, Decoded)
    assert (decoded.video, decoded.views_total) == (answer.video, 6)
    assert [item.views_done for item in partials if isinstance(item, Partial)] == [1, 2, 3, 4, 5, 6]
    assert isinstance(result, Classification)
    last = partials[-1]
    assert isinstance(last, Partial)
    assert last.predictions == result.predictions
    assert scores(result) == pytest.approx(scores(answer), abs=1e-4)
    assert (result.frames is not None, answer.frames is not None) == (True, True)


def test_segments_of_a_video_are_told_one_by_one_and_make_its_timeline(server: ServerProcess) -> None:
    with LapsClient(server.url) as client:
        _, decoded, *segments, result = client.stream(golden_video("bikes"), views="1x1", segments="5s", top_k=3)
    assert isinstance(decoded, Decoded)
    assert decoded.segments_total == 2
    assert isinstance(result, Classification)
    assert result.timeline is not None
    assert result.segments is not None
    assert (result.timeline.start_s, result.timeline.end_s) == ((0.0, 5.0), (5.0, 10.0))
    assert result.timeline.labels == tuple(item.label for item in result.predictions)
    for number, (told, whole) in enumerate(zip(segments, result.segments, strict=True)):
        assert isinstance(told, SegmentDone)
        assert (told.segments_done, told.segments_total) == (number + 1, 2)
        assert told.predictions == whole.predictions
        assert whole.frames is not None
        assert all(whole.start_s <= time_s < whole.end_s for time_s in whole.frames.time_s)


def test_the_shell_plots_and_evaluates(server: ServerProcess, tmp_path: Path) -> None:
    for name in ("bikes", "carphone"):
        (tmp_path / f"{name}.mp4").symlink_to(golden_video(name))
    done = laps(
        "classify", ".", "--quiet", "--views", "1x1", "--jsonl", "--plot", "scores.svg", server=server, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"bikes.mp4", "carphone.mp4"}
    picture = (tmp_path / "scores.svg").read_text()
    assert picture.count('id="axes_') == 2
    assert all(f"<!-- {row['predictions'][0]['label']} -->" in picture for row in rows.values())
    # One list has both labels as the model sees them, of which the second is its second best.
    best, second = rows["bikes.mp4"]["predictions"][0], rows["carphone.mp4"]["predictions"][1]
    (tmp_path / "list.csv").write_text(f"bikes.mp4,{best['label']}\ncarphone.mp4,{second['label']}\n")
    args = (
        "evaluate",
        "list.csv",
        "--views",
        "1x1",
        "--json",
        "--confusion",
        "matrix.csv",
        "--skip-done",
        "r.jsonl",
        "-q",
    )
    done = laps(*args, server=server, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["top1"]["right"], report["top5"]["right"], report["scored"]) == (1, 2, 2)
    assert report["confusions"][0]["label"] == second["label"]
    with (tmp_path / "matrix.csv").open() as file:
        matrix = {row["label"]: row for row in csv.DictReader(file)}
    assert matrix[best["label"]][best["label"]] == "1"
    (tmp_path / "carphone.mp4").unlink()
    again = laps(*args, server=server, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, done.stdout), "what is written down is not asked for again"
