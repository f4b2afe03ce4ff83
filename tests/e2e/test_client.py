"""The client and its command line on real videos, against a real server with an exported model of full size."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.support_cli import COMMAND
from e2e.test_goldens import check_answer
from laps_client import Classification, Decoded, LapsClient, Partial, SegmentDone
from support_server import ServerProcess, running_server
from support_videos import golden_video


@pytest.fixture(scope="module")
def server(golden_repository: Path) -> Iterator[ServerProcess]:
    with running_server(golden_repository, env={"LAPS_HEARTBEAT_S": "0.2"}) as process:
        yield process


def laps(*args: object, server: ServerProcess, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "LAPS_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stream_ends_in_the_authors_numbers(server: ServerProcess) -> None:
    with LapsClient(server.url) as client:
        _, decoded, *partials, result = client.stream(golden_video("carphone"), views="1x1", top_k=400)
    assert isinstance(decoded, Decoded)
    assert (decoded.video.codec, decoded.views_total) == ("h264", 1)
    (partial,) = partials
    assert isinstance(partial, Partial)
    assert isinstance(result, Classification)
    assert partial.predictions == result.predictions
    check_answer(result.to_dict(), "carphone", "1x1")


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
    done = laps("classify", ".", "--views", "1x1", "--jsonl", "--plot", "scores.svg", server=server, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"bikes.mp4", "carphone.mp4"}
    picture = (tmp_path / "scores.svg").read_text()
    assert picture.count('id="axes_') == 2
    assert all(f"<!-- {row['predictions'][0]['label']} -->" in picture for row in rows.values())
    # One list has both labels as the model sees them, of which the second is its second best.
    best, second = rows["bikes.mp4"]["predictions"][0], rows["carphone.mp4"]["predictions"][1]
    (tmp_path / "list.csv").write_text(f"bikes.mp4,{best['label']}\ncarphone.mp4,{second['label']}\n")
    args = ("evaluate", "list.csv", "--views", "1x1", "--json", "--confusion", "matrix.csv", "--skip-done", "r.jsonl")
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
