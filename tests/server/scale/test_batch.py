"""Batch jobs on a real Ray of this machine: what is classified, skipped, tried again, and survives."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import ray
from pyarrow import parquet
from ray._common.usage import usage_lib
from ray.data import Dataset

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import InternalError
from laps_server.scale.batch import ActorPool, BatchProgress, checked_options, classify_dataset, classify_into
from laps_server.scale.ray_session import ray_session
from laps_server.scale.row_files import RowFiles
from laps_server.scale.settings import RaySettings
from laps_server.segment_length import SegmentLength
from laps_server.settings import Settings
from support.live_servers import running_server
from support.plain_videos import BLUE, GREEN, RED, write_colour_video
from support.ray_gateways import usage_reports
from support.server_traces import children_of, title_of

ROOT = Path(__file__).parents[3]
CLIP = ROOT / "examples" / "pan-then-zoom.mp4"
ONE = ActorPool(most=1)
# Ray's own: what it starts keeps files open that nobody closes, and it warns itself of its own settings.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    os.environ.pop("RAY_USAGE_STATS_ENABLED", None)  # it is set where Ray is started
    with pytest.MonkeyPatch.context() as patched:
        # A released Ray that a program starts reports nothing anyway, others do.
        patched.setattr(usage_lib, "set_usage_stats_enabled_via_env_var", lambda _: None)
        patched.setattr(ray, "init", partial(ray.init, num_gpus=1))  # which Ray does not look at
        with ray_session(RaySettings(object_store_mib=100)):
            yield


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model, alone."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "model_repository" / "camera-motion", folder / "camera-motion")
    return folder


@pytest.fixture
def settings(repository: Path) -> Settings:
    return Settings(model_repository=repository, cache_dir=None, max_batch_views=1)


@pytest.fixture
def videos(tmp_path: Path) -> list[str]:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "broken.mp4").write_bytes(b"no video")
    (clips / "empty.mp4").write_bytes(b"")
    (clips / "pan.mp4").symlink_to(CLIP)
    write_colour_video(clips / "short.mp4", [RED, GREEN, BLUE] * 4)
    return sorted(str(path) for path in clips.iterdir())


def run(
    files: RowFiles, videos: Sequence[str], settings: Settings, *, frames: bool = True, **kept: Any
) -> list[BatchProgress]:
    options = checked_options(settings, ClassifyOptions(frames=frames))
    return list(classify_into(files, videos, settings=settings, options=options, **{"actors": ONE, **kept}))


def codes(files: RowFiles) -> dict[str, str | None]:
    """Of each video, and no video twice."""
    rows = [(Path(row["path"]).stem, row["error_code"]) for row in files.rows()]
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_a_folder_becomes_rows_that_equal_what_the_server_answers(
    on_ray: None, settings: Settings, repository: Path, videos: list[str], tmp_path: Path
) -> None:
    files = RowFiles(str(tmp_path / "rows"))
    last = run(files, videos, settings)[-1]
    assert (last.done, last.failed, last.skipped, last.left) == (4, 2, 0, 0)
    rows = {Path(row["path"]).stem: row for row in parquet.read_table(tmp_path / "rows").to_pylist()}
    with running_server(repository, env={"LAPS_MAX_BATCH_VIEWS": "1"}) as server:
        for name, row in rows.items():
            content = (tmp_path / "clips" / f"{name}.mp4").read_bytes()
            body = httpx.post(f"{server.url}/classify", content=content, timeout=120).json()
            if "error" in body and name != "empty":  # HTTP says of an empty body that there is no file
                assert {
                    f"error_{key}": body["error"][key] for key in ("code", "message", "hint")
                }.items() <= row.items()
            if "error" not in body:
                same = ("predictions", "agreement", "margin", "frames", "views", "video", "warnings", "embedding")
                assert {key: row[key] for key in same} == {key: body[key] for key in same}
                assert [row["model"], row["version"], row["engine"], row["precision"]] == [*body["model"].values()]
    assert {name: row["error_code"] for name, row in rows.items()} == {
        "broken": "unsupported_container",
        "empty": "unsupported_container",
        "pan": None,
        "short": None,
    }
    # What is there is skipped, without an actor; what is new is added; what failed is done again where that is asked.
    again = run(files, videos, settings)
    assert [(item.done, item.skipped, item.left) for item in again] == [(0, 4, 0)]
    broken = tmp_path / "clips" / "broken.mp4"
    broken.write_bytes(CLIP.read_bytes())
    last = run(files, videos, settings, retry_failed=True)[-1]
    assert (last.done, last.failed, last.skipped) == (2, 1, 2)
    assert codes(files) == {"broken": None, "empty": "unsupported_container", "pan": None, "short": None}


def test_ray_reports_its_use_to_nobody(on_ray: None) -> None:
    assert usage_reports(os.getpid()) == {"0"}


def test_actors_may_have_a_part_of_a_gpu_each(on_ray: None, settings: Settings, tmp_path: Path) -> None:
    """Ray Data refuses some ways of asking for one."""
    files = RowFiles(str(tmp_path / "rows"))
    two = ActorPool(least=2, most=2, cpus=0.5, gpus=0.5)
    last = run(files, many_videos(tmp_path, 5), settings, actors=two, block_videos=2)[-1]
    assert (last.done, last.failed) == (5, 0)
    assert sorted(file.num_rows for file in map(parquet.read_metadata, (tmp_path / "rows").glob("part-*"))) == [1, 2, 2]


def test_too_many_errors_stop_a_job(on_ray: None, settings: Settings, tmp_path: Path) -> None:
    bad = [str(tmp_path / f"{place}.mp4") for place in range(6)]
    files = RowFiles(str(tmp_path / "rows"), "jsonl")
    last = run(files, bad, settings, max_errors=1, block_videos=1)[-1]
    assert last.stopped
    assert last.failed == 2
    assert last.left == 4
    assert set(codes(files).values()) == {"bad_parameter"}


def test_a_data_set_becomes_a_data_set(on_ray: None, settings: Settings, videos: list[str]) -> None:
    asked = ray.data.from_arrow(pa.table({"clip": videos[2:3], "id": [7]}))
    options = ClassifyOptions(segments=SegmentLength.parse("2s"), frames=False)
    rows = classify_dataset(asked, settings=settings, options=options, column="clip", actors=ONE).take_all()
    assert [row["segment"] for row in rows] == list(range(rows[0]["segments"]))
    assert {row["path"] for row in rows} == {videos[2]}
    assert all(row["predictions"] for row in rows)


@pytest.mark.long
@pytest.mark.parametrize("retried", [True, False], ids=["retried", "retry taken out"])
@pytest.mark.filterwarnings("ignore:.*ray_remote_args.*deprecated")
def test_an_actor_that_is_killed_loses_no_row(
    on_ray: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retried: bool
) -> None:
    if not retried:
        without = partialmethod(Dataset.map_batches, max_restarts=0, max_task_retries=0)
        monkeypatch.setattr(Dataset, "map_batches", without)
    videos = many_videos(tmp_path, 24)
    files = RowFiles(str(tmp_path / "rows"))
    options = checked_options(settings, ClassifyOptions(frames=False))
    job = classify_into(files, videos, settings=settings, options=options, actors=ONE, block_videos=2)

    def killed() -> int:
        last = None
        for last in job:
            if last.done == 4:
                for actor in actor_processes(os.getpid()):
                    os.kill(actor, signal.SIGKILL)
        return 0 if last is None else last.done

    if not retried:
        with pytest.raises(InternalError, match="Ray ended the job"):
            killed()
        return
    assert killed() == 24
    assert set(codes(files)) == {Path(video).stem for video in videos}


@pytest.mark.long
@pytest.mark.parametrize("resumed", [True, False], ids=["resumed", "resume taken out"])
def test_a_job_whose_process_was_killed_goes_on(repository: Path, tmp_path: Path, resumed: bool) -> None:
    videos = many_videos(tmp_path, 24)
    rows = tmp_path / "rows"
    command = ["batch", str(tmp_path / "clips"), str(rows), "--model-repository", str(repository), "--actors", "1"]
    with command_of(*command, "--videos-per-file", "2") as first:
        wait_for_three_files(rows, first)
        assert first.poll() is None, "killed before it was done"
        first.kill()
        first.wait()
    before = {path: path.stat().st_mtime_ns for path in rows.glob("part-*.parquet")}
    assert 3 <= len(before) < 12
    with command_of(*command, "--videos-per-file", "2", before="" if resumed else NOTHING_DONE) as second:
        told, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors
    files = RowFiles(str(rows))
    assert set(codes(files)) == {Path(video).stem for video in videos}
    untouched = [path for path, written in before.items() if path.stat().st_mtime_ns == written]
    if resumed:
        assert untouched == list(before)
        # Its actors may have finished a block more before they saw that it was gone.
        there = re.search(r"(\d+) were there", told)
        assert there is not None
        assert 2 * len(before) <= int(there[1]) < 24
    else:
        assert untouched == []


@pytest.mark.long
def test_an_interrupted_job_goes_on(repository: Path, tmp_path: Path) -> None:
    videos = many_videos(tmp_path, 24)
    rows = tmp_path / "rows"
    command = ["batch", str(tmp_path / "clips"), str(rows), "--model-repository", str(repository), "--actors", "1"]
    with command_of(*command, "--videos-per-file", "2") as first:
        wait_for_three_files(rows, first)
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=120)
    assert first.returncode == 130, errors
    assert told_by_us(errors)[-1] == "interrupted; the same command goes on where it ended"
    there = parquet.read_table(rows).num_rows
    assert 6 <= there < 24
    with command_of(*command, "--videos-per-file", "2") as second:
        told, errors = second.communicate(timeout=300)
    assert (second.returncode, told_by_us(errors)) == (0, [])
    assert f"{24 - there} videos in {24 - there} rows, 0 failed, {there} were there" in told
    assert set(codes(RowFiles(str(rows)))) == {Path(video).stem for video in videos}


@pytest.mark.long
def test_models_that_are_not_where_actors_are_end_a_job_in_one_line(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "models")
    # The command has read them, and actors will not find them.
    gone = """
import shutil, sys
from laps_server.scale import batch
checked = batch.checked_options
def then_gone(settings, *given, **more):
    options = checked(settings, *given, **more)
    shutil.rmtree(settings.model_repository[0])
    return options
batch.checked_options = then_gone
"""
    command = ["batch", str(CLIP), str(tmp_path / "rows"), "--model-repository", str(tmp_path / "models")]
    with command_of(*command, "--actors", "1", before=gone) as process:
        told, errors = process.communicate(timeout=300)
    assert (process.returncode, told) == (1, "")
    *warnings, said, hint = told_by_us(errors)
    reason = f"model repository {tmp_path / 'models'} does not exist"
    assert re.fullmatch(rf"error \(internal\): Ray ended the job: no actor can start on \S+: {re.escape(reason)}", said)
    assert hint == "the same command goes on where it ended"
    assert len(warnings) == 3
    assert all(line.endswith(f"{reason}; another one is tried") for line in warnings)


@pytest.mark.long
def test_the_command_tells_how_it_went(repository: Path, videos: list[str], tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("video\n" + "".join(f"{video}\n" for video in videos))
    rows = f"file://{tmp_path}/rows"
    common = [str(table), rows, "--column", "video", "--format", "jsonl", "--model-repository", str(repository)]
    with command_of("batch", *common, "--top-k", "all", "--shuffle", "--limit", "3") as first:
        told, errors = first.communicate(timeout=300)
    assert first.returncode == 1, errors
    files = RowFiles(rows, "jsonl")
    found = codes(files)
    assert len(found) == 3
    assert {line.partition(": ")[0] for line in told_by_us(errors)} <= set(videos), "Ray says something"
    assert f"3 videos in 3 rows, {sum(code is not None for code in found.values())} failed" in told
    assert "(unsupported_container)" in errors
    labels = len((repository / "camera-motion" / "labels.txt").read_text().split("\n")) - 1
    assert {len(row["predictions"]) for row in files.rows() if row["predictions"]} == {labels}
    with command_of("batch", *common) as other:
        _, errors = other.communicate(timeout=300)
    assert other.returncode == 2
    assert "another question" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone", "rows"], "is not there"),
        (["clips", "rows", "--format", "xml"], "format 'xml' is not known"),
        (["clips", "rows", "--actors", "4-2"], "cannot be started"),
        (["clips", "rows", "--top-k", "most"], "is no number"),
        (["clips", "rows", "--top-k", "99999"], "out of range"),
        (["clips", "rows", "--model", "none"], "no model 'none'"),
    ],
)
def test_a_wrong_command_is_told_before_ray_starts(
    repository: Path, videos: list[str], tmp_path: Path, arguments: list[str], said: str
) -> None:
    with command_of("batch", *arguments, "--model-repository", str(repository), folder=tmp_path) as process:
        told, errors = process.communicate(timeout=120)
    assert (process.returncode, told) == (2, "")
    assert said in errors
    assert not (tmp_path / "rows").exists()


def told_by_us(errors: str) -> list[str]:
    """Lines on standard error, but for those of Ray's native code, which go past every log."""
    return [line for line in errors.splitlines() if not re.match(r"\[[^]]+\] \w+\.cc:", line)]


def many_videos(tmp_path: Path, number: int) -> list[str]:
    clips = tmp_path / "clips"
    clips.mkdir()
    first = write_colour_video(clips / "00.mp4", [RED, GREEN, BLUE] * 8)
    for place in range(1, number):
        (clips / f"{place:02}.mp4").symlink_to(first)
    return sorted(str(path) for path in clips.iterdir())


def wait_for_three_files(rows: Path, job: subprocess.Popen[str]) -> None:
    """Or for the job's end, which is then too early."""
    until = time.monotonic() + 300
    while len(list(rows.glob("part-*.parquet"))) < 3 and job.poll() is None and time.monotonic() < until:
        time.sleep(0.05)


def actor_processes(process: int) -> list[int]:
    return [child for child in children_of(process) if "ray::MapWorker" in title_of(child)]


NOTHING_DONE = (
    "from laps_server.scale import row_files as r; r.RowFiles.settle = lambda *_, **__: r.Done(frozenset(), 0)"
)


def command_of(*arguments: str, before: str = "", folder: Path | None = None) -> subprocess.Popen[str]:
    """``laps-server``, after the program ``before`` in the same process."""
    program = f"{before}\nfrom laps_server.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAPS_RAY_OBJECT_STORE_MIB": "100", "COLUMNS": "200"},
    )
