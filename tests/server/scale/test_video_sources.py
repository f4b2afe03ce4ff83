"""What a batch job is told to classify: folders, patterns, lists, and other places."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from laps_server.errors import BadParameter
from laps_server.scale.video_sources import find_sources, open_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    (clips / "deeper").mkdir(parents=True)
    for name in ("b.mp4", "a.MOV", "notes.txt", ".hidden.mp4", "deeper/c.mkv"):
        (clips / name).write_bytes(name.encode())
    return clips


def bucket(folder: Path) -> str:
    url = f"memory://{uuid.uuid4().hex}"
    files, root = fsspec.core.url_to_fs(url)
    files.put(str(folder), root, recursive=True)
    return url


def test_a_folder_is_searched_and_paths_are_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [str(folder / name) for name in ("a.MOV", "b.mp4", "deeper/c.mkv")]
    monkeypatch.chdir(folder.parent)
    assert find_sources(str(folder)) == find_sources("clips") == find_sources(f"file://{folder}") == expected
    assert find_sources("clips/b.mp4") == [str(folder / "b.mp4")]


def test_a_pattern_takes_what_it_matches(folder: Path) -> None:
    assert find_sources(f"{folder}/*.mp4") == [str(folder / "b.mp4")]
    assert find_sources(f"{folder}/**/*.mkv") == [str(folder / "deeper" / "c.mkv")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    odd = folder / "[b].mp4"
    odd.write_bytes(b"odd")
    assert find_sources(str(odd)) == [str(odd)]


def test_a_bucket_is_searched_as_a_folder_is(folder: Path) -> None:
    url = bucket(folder)
    found = find_sources(url)
    assert [name.rpartition("/")[2] for name in found] == ["a.MOV", "b.mp4", "c.mkv"]
    assert all(name.startswith("memory://") for name in found)
    assert find_sources(f"{url}/*.mp4") == [name for name in found if name.endswith("b.mp4")]
    descriptor = open_video(found[1])
    with os.fdopen(descriptor, "rb") as video:
        assert video.read() == b"b.mp4"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_list_names_videos_in_a_column(folder: Path, kind: str) -> None:
    names = ["b.mp4", "s3://bucket/c.mp4", "/elsewhere/d.mp4", "b.mp4"]
    table = folder / f"list.{kind}"
    if kind == "csv":
        table.write_text("id,video\n" + "".join(f"{place},{name}\n" for place, name in enumerate(names)))
    else:
        parquet.write_table(pa.table({"id": [1, 2, 3, 4], "video": names}), table)
    expected = [str(folder / "b.mp4"), "s3://bucket/c.mp4", "/elsewhere/d.mp4"]
    assert find_sources(str(table), column="video") == expected
    with pytest.raises(BadParameter, match="no column 'path'") as wrong:
        find_sources(str(table))
    assert "id, video" in str(wrong.value.hint)


@pytest.mark.parametrize("source", ["gone", "gone.csv", "gone/*.mp4", "nothing://place", "memory://gone/folder"])
def test_what_is_not_there_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadParameter):
        find_sources(source if "://" in source else str(tmp_path / source))


def test_a_video_that_cannot_be_fetched_says_so(tmp_path: Path) -> None:
    with pytest.raises((OSError, BadParameter)):
        open_video("memory://gone/clip.mp4")
    with pytest.raises(BadParameter, match="cannot be read"):
        open_video("nothing://place/clip.mp4")
