"""`laps` and `laps-server classify` find the same videos in a folder: the one rule is written in both packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from laps_client.cli import video_files as client
from laps_client.cli.exit_status import CommandFailed
from laps_server import offline as server
from laps_server.errors import BadParameter

Find = Callable[[list[Path]], Iterable[Path]]

FOUND = ["B.MP4", "a.mp4", "gone.mp4", "link.mkv", "z.mov", "Deeper/x.webm", "a/1.mkv", "a/b/y.m2ts", "a-b/2.ts"]
LEFT_OUT = ["._a.mp4", ".hidden.mp4", ".mp4", "a/._1.mkv", ".git/c.mp4", "a/.cache/d.mp4", "notes.txt", "e.mp4.part"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for name in [*reversed(FOUND), *LEFT_OUT]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "gone.mp4":
            path.symlink_to("missing")
        elif name == "link.mkv":
            path.symlink_to(folder / "z.mov")
        else:
            path.touch()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "null.mp4").symlink_to("/dev/null")
    (folder / "loop").symlink_to(folder)
    (folder / "folder.mp4").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "v.mp4").touch()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    return folder


def test_the_names_that_videos_have_are_the_same() -> None:
    assert client.VIDEO_SUFFIXES == server.VIDEO_SUFFIXES


@pytest.mark.parametrize("find", [client.find_videos, server.find_videos], ids=["laps", "laps-server"])
def test_both_find_the_same_videos_in_the_same_order(folder: Path, find: Find) -> None:
    assert [path.relative_to(folder).as_posix() for path in find([folder])] == FOUND


@pytest.mark.parametrize("name", ["._a.mp4", ".hidden.mp4", "notes.txt", "link.mkv"])
def test_both_take_a_file_that_is_named_whatever_its_name(folder: Path, name: str) -> None:
    paths = [folder / name, folder / "a"]
    found = list(client.find_videos(paths))
    assert found == server.find_videos(paths)
    assert found[0] == folder / name


def test_both_search_a_hidden_folder_that_is_named(folder: Path) -> None:
    found = list(client.find_videos([folder / ".git"]))
    assert found == server.find_videos([folder / ".git"]) == [folder / ".git" / "c.mp4"]


def test_both_refuse_what_is_not_there_in_the_same_words(folder: Path) -> None:
    missing = folder / "missing.mp4"
    with pytest.raises(CommandFailed) as by_client:
        client.check_paths([missing])
    with pytest.raises(BadParameter) as by_server:
        server.find_videos([missing])
    assert by_client.value.message == by_server.value.message
    assert by_client.value.hint == by_server.value.hint
