"""Every program in examples/, run as its first lines say, against a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.laps_command import FinishedCommand
from support.live_servers import ServerProcess
from support.plain_videos import BLUE, write_colour_video

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT = b"plain text, no video " * 50


def run(name: str, *args: object, cwd: Path) -> FinishedCommand:
    path = EXAMPLES / name
    command = [sys.executable, "-W", "error"] if path.suffix == ".py" else ["bash"]
    done = subprocess.run(
        [*command, str(path), *map(str, args)],
        cwd=cwd,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    return FinishedCommand(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def videos(clip: Path, tmp_path: Path) -> Path:
    """A folder with a clip under a name that shells and curl stumble over, another clip, and text."""
    shutil.copy(clip, tmp_path / "my, first; clip.mp4")
    write_colour_video(tmp_path / "blue.mp4", [BLUE] * 20)
    (tmp_path / "text.mp4").write_bytes(TEXT)
    return tmp_path


def check_curl(server: ServerProcess, videos: Path) -> None:
    done = run("classify.sh", server.url, "my, first; clip.mp4", cwd=videos)
    assert (done.status, done.err) == (0, "")
    answer, *stream = done.out.splitlines()
    assert [item["label"] for item in json.loads(answer)["predictions"]][:2] == ["red", "blue"]
    names = [line.removeprefix("event: ") for line in stream if line.startswith("event: ")]
    assert names == ["accepted", "decoded", *["partial"] * 6, "result"]
    last = [line for line in stream if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: "))["predictions"][0]["label"] == "red"
    refused = run("classify.sh", server.url, "text.mp4", cwd=videos)
    assert refused.status == 22
    assert json.loads(refused.out)["error"]["code"] == "unsupported_container"


def check_sync(server: ServerProcess, videos: Path) -> None:
    done = run("classify.py", server.url, "my, first; clip.mp4", cwd=videos)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].endswith("  red")
    assert lines[-1].startswith("red is clearest at ")
    refused = run("classify.py", server.url, "text.mp4", cwd=videos)
    assert (refused.status, refused.out) == (1, "")
    assert re.search(r"\[unsupported_container, HTTP 415, request \w+\]\n$", refused.err)
    assert refused.err.count("unsupported_container") == 1
    missing = run("classify.py", server.url, "missing.mp4", cwd=videos)
    assert (missing.status, missing.err) == (1, "[Errno 2] No such file or directory: 'missing.mp4'\n")


def check_async(server: ServerProcess, videos: Path) -> None:
    done = run("classify_async.py", server.url, "my, first; clip.mp4", "blue.mp4", cwd=videos)
    assert (done.status, done.err) == (0, "")
    assert sorted(done.out.splitlines()) == ["blue.mp4: blue", "my, first; clip.mp4: red"]
    mixed = run("classify_async.py", server.url, "text.mp4", "blue.mp4", cwd=videos)
    assert (mixed.status, mixed.out) == (1, "blue.mp4: blue\n")
    assert mixed.err.startswith("text.mp4: ")


def check_plot(server: ServerProcess, videos: Path) -> None:
    done = run("plot_frames.py", server.url, "my, first; clip.mp4", "scores.svg", cwd=videos)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-2:] == ["0.0 s to 1.0 s: red", "1.0 s to 2.0 s: blue"]
    picture = (videos / "scores.svg").read_text()
    assert all(text in picture for text in ("<!-- red -->", "<!-- blue -->", "<!-- time in s -->"))


CHECKS: dict[str, Callable[[ServerProcess, Path], None]] = {
    "classify.sh": check_curl,
    "classify.py": check_sync,
    "classify_async.py": check_async,
    "plot_frames.py": check_plot,
}


def test_every_example_is_checked() -> None:
    programs = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"pan-then-zoom.mp4"}
    assert programs == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_an_example_does_what_it_says(server: ServerProcess, videos: Path, name: str) -> None:
    CHECKS[name](server, videos)
    assert f"examples/{name} http://127.0.0.1:8000 " in (EXAMPLES / name).read_text(), "its usage"
