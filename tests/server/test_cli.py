"""``laps-server`` as a user runs it: a process, its output, its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from support.live_servers import running_server
from support.model_repositories import LABELS, slow_graph, write_model
from support.plain_videos import BLUE, GREEN, RED, write_colour_video


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "laps_server", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **env},
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "colours")
    write_model(tmp_path / "models", "colours", version=2)
    return tmp_path / "models"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    (folder / "deeper").mkdir(parents=True)
    write_colour_video(folder / "red.mp4", [RED] * 12)
    write_colour_video(folder / "deeper" / "green.MKV".lower(), [GREEN] * 12)
    write_colour_video(folder / "deeper" / "blue.avi", [BLUE] * 12)
    (folder / "notes.txt").write_text("not a video")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    return folder


def test_classify_prints_a_table(repository: Path, videos: Path) -> None:
    done = run("classify", videos, "--model-repository", repository)
    assert done.returncode == 0, done.stderr
    rows = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if "videos" in line}
    assert {Path(name).stem: line.split("│")[3].strip() for name, line in rows.items()} == {
        "red": "red",
        "green": "green",
        "blue": "blue",
    }


def test_a_table_says_how_many_views_agree_and_has_the_chosen_labels_alone(repository: Path, tmp_path: Path) -> None:
    clip = write_colour_video(tmp_path / "clip.mp4", [RED] * 12 + [BLUE] * 8)
    options = ("--views", "4x1", "--labels", "red,green", "--labels", "blue", "--model-repository", repository)
    done = run("classify", clip, *options)
    assert done.returncode == 0, done.stderr
    cells = [cell.strip() for line in done.stdout.splitlines() if "clip.mp4" in line for cell in line.split("│")]
    agreeing, _, used = cells[4].split()
    assert (int(used), cells[3]) == (4, "red")
    assert 2 <= int(agreeing) <= 4
    assert "dark" not in done.stdout
    refused = run("classify", clip, "--labels", "rad", "--model-repository", repository)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "did you mean red?" in refused.stderr


def test_an_embedding_is_in_json_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "vectors", embedding=True)
    clip = write_colour_video(tmp_path / "clip.mp4", [RED] * 12)
    done = run("classify", clip, "--embedding", "--jsonl", "--model-repository", tmp_path / "models")
    red, green, blue = json.loads(done.stdout)["embedding"]
    assert red > 0.95 > max(green, blue)
    refused = run("classify", clip, "--embedding", "--model-repository", tmp_path / "models")
    assert refused.returncode == 2
    assert "--json" in refused.stderr


def test_jsonl_has_a_line_for_every_file_and_the_failed_one_says_why(repository: Path, videos: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    odd = videos / "[red]v6[" / "bold].mp4"
    odd.parent.mkdir()
    odd.write_bytes(b"no video")
    assert "[red]v6[/bold].mp4" in run("classify", odd, "--model-repository", repository).stdout.replace("\n", "")
    odd.unlink()
    table = run("classify", videos / "broken.mp4", "--model-repository", repository)
    assert table.returncode == 1
    assert "not a video" in table.stdout
    assert "MP4" in table.stdout
    done = run("classify", videos, "--jsonl", "--frames", "--views", "1x1", "--model-repository", repository)
    assert done.returncode == 1
    answers = {Path(line["path"]).stem: line for line in map(json.loads, done.stdout.splitlines())}
    assert answers["broken"]["error"]["code"] == "unsupported_container"
    for name in ("red", "green", "blue"):
        assert answers[name]["predictions"][0]["label"] == name
        assert answers[name]["views"] == {"temporal": 1, "spatial": 1, "used": 1, "sampling": "laps_uniform"}
        assert len(answers[name]["frames"]["scores"]) == len(answers[name]["frames"]["time_s"])


def test_segments_are_answered_with_the_body_that_http_has(repository: Path, tmp_path: Path) -> None:
    film = write_colour_video(tmp_path / "film.mp4", [RED] * 10 + [GREEN] * 10 + [BLUE] * 5)
    options: list[str | Path] = ["--views", "1x1", "--frames", "--model-repository", repository]
    done = run("classify", film, "--segments", "1s", "--jsonl", *options)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [item["predictions"][0]["label"] for item in answer["segments"]] == ["red", "green", "blue"]
    assert answer["timeline"]["end_s"] == [1.0, 2.0, 2.5]
    with running_server(repository) as server:
        params = {"segments": "1s", "views": "1x1"}
        body = httpx.post(f"{server.url}/classify", params=params, content=film.read_bytes(), timeout=60).json()
    for changing in ("request_id", "path", "timings_ms"):
        answer.pop(changing, None)
        body.pop(changing, None)
    assert answer == body
    table = run("classify", film, "--segments", "1s", *options)
    assert "film.mp4" in table.stdout
    refused = run("classify", film, "--segments", "1s", "--json", *options, LAPS_MAX_SEGMENTS="2")
    assert refused.returncode == 1
    assert "segments=1.201s" in json.loads(refused.stdout)[0]["error"]["hint"]


def test_an_interrupt_is_told_and_what_was_found_is_shown(tmp_path: Path) -> None:
    slow = slow_graph(frames=4, size=32, classes=len(LABELS), rounds=3)
    write_model(tmp_path / "models", "slow", graph=slow)
    clip = write_colour_video(tmp_path / "clip.mp4", [RED] * 12)
    film = write_colour_video(tmp_path / "film.mp4", [BLUE] * 6000)
    options = ["--segments=1s", "--views=1x1", "--concurrency=1", f"--model-repository={tmp_path / 'models'}"]
    # Whatever started the tests in the background may have had interrupts ignored, which children inherit.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listening}; from laps_server.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "classify", clip, film, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 60
            while str(film) not in open_files(process.pid) and time.monotonic() < until:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            table, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert told == "interrupted\n"
    assert "clip.mp4" in table
    assert "film.mp4" not in table


def open_files(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found


def test_json_is_one_array_in_the_order_given(repository: Path, videos: Path) -> None:
    files = [videos / "deeper" / "green.mkv", videos / "red.mp4", videos / "deeper" / "blue.avi"]
    done = run("classify", *files, "--json", "--model-repository", repository)
    answers = json.loads(done.stdout)
    assert [Path(answer["path"]).stem for answer in answers] == ["green", "red", "blue"]
    assert answers[0]["model"] == {"name": "colours", "version": 2, "engine": "ort", "precision": "float32"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["classify", "missing.mp4"], "missing.mp4 is not there"),
        (["classify", "{videos}", "--model", "none"], "served models: colours"),
        (["classify", "{videos}", "--views", "3"], "5x3"),
        (["classify", "{videos}", "--top-k", "9"], "1 to 4"),
        (["classify", "{videos}", "--segments", "10"], "10s"),
        (["classify", "{videos}", "--json", "--jsonl"], "choose one"),
        (["serve", "--port", "99999"], "port"),
        (["serve", "--log-level", "loud"], "log_level"),
    ],
)
def test_wrong_use_is_told_without_a_traceback(repository: Path, videos: Path, arguments: list[str], said: str) -> None:
    done = run(*(part.format(videos=videos) for part in arguments), "--model-repository", repository)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_models_lists_the_repository(repository: Path) -> None:
    rows = json.loads(run("models", "--json", "--model-repository", repository).stdout)
    assert [(row["name"], row["version"]) for row in rows] == [("colours", 2)]
    assert "colours" in run("models", "--model-repository", repository).stdout


def test_a_repository_may_be_several_folders(repository: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "more", "shapes")
    for folders in ([tmp_path / "more", repository], [f"{tmp_path / 'more'}{os.pathsep}{repository}"]):
        arguments = [part for folder in folders for part in ("--model-repository", folder)]
        rows = json.loads(run("models", "--json", *arguments).stdout)
        assert [row["name"] for row in rows] == ["colours", "shapes"]


def test_settings_come_from_the_environment_and_options_win(repository: Path, tmp_path: Path) -> None:
    assert run("models", LAPS_MODEL_REPOSITORY=str(repository)).returncode == 0
    assert run("models", "--model-repository", repository, LAPS_MODEL_REPOSITORY=str(tmp_path / "no")).returncode == 0
    done = run("models", LAPS_MODEL_REPOSITORY=str(repository), LAPS_THREADS="0")
    assert done.returncode == 2
    assert "threads" in done.stderr


def test_an_old_name_of_a_setting_is_warned_of_where_the_log_is_silent(repository: Path, videos: Path) -> None:
    done = run("classify", videos / "red.mp4", "--model-repository", repository, LAPS_TRITON_CALLS="2")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "warning: LAPS_TRITON_CALLS is now LAPS_TRITON_CONCURRENCY: the next release does not read the old name"
    ]


def test_version_is_printed() -> None:
    from laps_server import __version__

    assert run("--version").stdout.strip() == __version__


def test_triton_without_an_address_is_told_in_one_line(repository: Path) -> None:
    done = run("serve", "--model-repository", repository, "--engine", "triton")
    assert done.returncode == 2
    assert "needs triton_url, as grpc://host:8001" in done.stderr
    assert "Traceback" not in done.stderr


def test_triton_without_its_client_says_what_to_install(repository: Path) -> None:
    program = "import sys; sys.modules['tritonclient'] = None; from laps_server.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--model-repository", repository, "--engine", "triton",
         "--triton-url", "grpc://127.0.0.1:1"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'laps-server[triton]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_tune_shows_every_way_to_run_each_model_and_the_next_start_knows(repository: Path, tmp_path: Path) -> None:
    choices = {"LAPS_ENGINE": "auto", "LAPS_PRECISION": "float32", "LAPS_CACHE_DIR": str(tmp_path / "cache")}
    done = run("tune", "--model-repository", repository, "--json", tmp_path / "tuned.json", **choices)
    assert done.returncode == 0, done.stderr
    assert "colours 2, 10 views" in done.stdout
    assert {line.split("│")[1].strip() for line in done.stdout.splitlines() if "float32" in line} == {"openvino", "ort"}
    (tuned,) = json.loads((tmp_path / "tuned.json").read_text())
    assert tuned["model"] == {"name": "colours", "version": 2}
    assert tuned["machine"]["threads"] >= 1
    taken, other = tuned["candidates"]
    assert (taken["verdict"], other["verdict"]) == ("taken: the fastest whose answers hold", "slower")
    with running_server(repository, env=choices) as server:
        model = httpx.get(f"{server.url}/models/colours").json()
        assert (model["engine"], model["precision"]) == (taken["engine"], "float32")
        assert model["choice"] == {"views": 10, "candidates": tuned["candidates"]}
        assert any("as found before" in line for line in server.log)
        (summary,) = httpx.get(f"{server.url}/models").json()["models"]
        assert (summary["engine"], summary["precision"]) == (taken["engine"], "float32")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "none"], "no model 'none' is there"),
        (["--engine", "abacus"], "engine (LAPS_ENGINE)"),
        (["--precision", "int8", "--engine", "ort"], "cannot be run by engine ort in precision int8"),
    ],
)
def test_tune_says_what_is_wrong(repository: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run("tune", "--model-repository", repository, *arguments, LAPS_CACHE_DIR=str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr


def test_views_are_written_for_the_exporter(repository: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "views.npy"
    options: list[str | Path] = ["--model", "colours", "--model-repository", repository, "--out", out]
    done = run("views", videos, *options, "--count", "7")
    assert (done.returncode, done.stdout) == (0, f"{out}: 7 views\n")
    assert np.load(out).shape == (7, 4, 32, 32, 3)
    assert run("views", videos / "deeper" / "blue.avi", *options, "--version", "1").stdout == f"{out}: 6 views\n"
    assert np.load(out).shape[0] == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--model", "other"], "there is no model 'other'"), (["--model", "colours", "--version", "3"], "no version 3")],
)
def test_views_of_a_model_that_is_not_there_are_refused(
    repository: Path, videos: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    done = run("views", videos, "--model-repository", repository, "--out", tmp_path / "views.npy", *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_folder_whose_videos_are_all_broken_gives_no_views(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "views.npy"
    done = run("views", tmp_path / "broken.mp4", "--model", "colours", "--model-repository", repository, "--out", out)
    assert (done.returncode, done.stdout, out.exists()) == (1, "no video gave a view\n", False)
    assert "broken.mp4: " in done.stderr
