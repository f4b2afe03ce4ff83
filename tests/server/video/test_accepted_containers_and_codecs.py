"""Every container x codec cell gives the frames of a straight decode, and decodes only what it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest

from laps_server.errors import UnsupportedCodec, UnsupportedContainer
from laps_server.video.accepted_formats import CodecSet
from support.numbered_videos import (
    assert_one_segment_is_the_video,
    assert_same_as_straight,
    encode,
    extract,
    ffmpeg,
)
from support.video_cells import CELLS, COUNT, SEEKS, STRAIGHT, WIDE_CELLS, Cell
from support.wmv9 import write_wmv9

# Codecs as an answer names them, where FFmpeg's encoder has another name.
NAMES = {
    "libx264": "h264",
    "libx265": "hevc",
    "libvpx": "vp8",
    "libvpx-vp9": "vp9",
    "libsvtav1": "av1",
    "msmpeg4": "msmpeg4v3",
    "prores_ks": "prores",
    "flv": "flv1",
}


# Containers as an answer names them, where files of theirs end otherwise.
CONTAINERS = {
    "mov": "mp4",
    "3gp": "mp4",
    "mkv": "matroska",
    "webm": "matroska",
    "ts": "mpegts",
    "mpg": "mpegps",
    "wmv": "asf",
}


def assert_a_cell_is_right(cell: Cell, folder: Path, decoded: list[int], codecs: CodecSet) -> None:
    path = cell.write(folder)
    extraction = assert_same_as_straight(path, views=4, frames=3, stride=3, codecs=codecs)
    assert all(frame.index is not None for frame in extraction.frames)
    assert sum(decoded) <= cell.share * cell.count
    assert extraction.info.codec == NAMES.get(cell.codec, cell.codec)
    assert extraction.info.container == CONTAINERS.get(path.suffix[1:], path.suffix[1:])
    assert_one_segment_is_the_video(path, views=4, frames=3, stride=3, codecs=codecs)
    assert_one_segment_is_the_video(path, views=3, frames=8, stride=16, codecs=codecs)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_gives_the_frames_of_a_straight_decode(
    cell: Cell, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVT_LOG", "-1")
    assert_a_cell_is_right(cell, tmp_path, decoded, "standard")


@pytest.mark.parametrize("cell", WIDE_CELLS, ids=lambda cell: cell.name)
def test_a_cell_of_the_wide_set_gives_the_frames_of_a_straight_decode(
    cell: Cell, tmp_path: Path, decoded: list[int]
) -> None:
    assert_a_cell_is_right(cell, tmp_path, decoded, "wide")


@pytest.mark.parametrize("cell", WIDE_CELLS, ids=lambda cell: cell.name)
def test_the_standard_set_refuses_a_cell_of_the_wide_one_and_names_it(cell: Cell, tmp_path: Path) -> None:
    path = replace(cell, count=3).write(tmp_path)
    with pytest.raises((UnsupportedCodec, UnsupportedContainer)) as refusal:
        extract(path)
    found = {".asf": "asf", ".wmv": "asf", ".dv": "dv"}.get(path.suffix)
    what = f"container {found} (" if found else f"codec {NAMES.get(cell.codec, cell.codec)} ("
    assert refusal.value.message.startswith(what)
    assert "ffmpeg -i" in str(refusal.value.hint)
    assert "LAPS_CODECS=wide" in str(refusal.value.hint)


@pytest.mark.parametrize("name", ["wmv9.wmv", "wmv9.avi", "wmv9.mkv", "wmv9.mov"])
def test_wmv9_gives_the_frames_of_a_straight_decode(name: str, tmp_path: Path, decoded: list[int]) -> None:
    path = write_wmv9(tmp_path / name, count=COUNT, key_every=12)
    extraction = assert_same_as_straight(path, views=4, frames=3, stride=3, codecs="wide")
    assert all(frame.index is not None for frame in extraction.frames)
    assert sum(decoded) <= SEEKS * COUNT
    assert extraction.info.codec == "wmv3"
    with pytest.raises((UnsupportedCodec, UnsupportedContainer)) as refusal:
        extract(path)
    if not name.endswith(".wmv"):
        assert refusal.value.message == "codec wmv3 (Windows Media Video 9) is not on the list"


@pytest.mark.parametrize("name", ["theora.ogv", "theora.mkv"])
def test_theora_gives_the_frames_of_a_straight_decode(name: str, tmp_path: Path, decoded: list[int]) -> None:
    source = encode(tmp_path / "source.mp4", "libx264", count=COUNT, options={"crf": "10"})
    path = tmp_path / name
    ffmpeg("-i", source, "-c:v", "libtheora", "-q:v", "8", "-g", "16", path)
    extraction = assert_same_as_straight(path, views=4, frames=3, stride=3)
    assert all(frame.index is not None for frame in extraction.frames)
    assert sum(decoded) <= SEEKS * COUNT


def test_vp8_packets_that_show_nothing_are_no_frames(tmp_path: Path, decoded: list[int]) -> None:
    source = encode(tmp_path / "source.mp4", "libx264", count=COUNT, options={"crf": "10"})
    path, notes = tmp_path / "hidden.webm", tmp_path / "notes"
    encoder = [
        "-c:v",
        "libvpx",
        "-threads",
        "1",
        "-b:v",
        "100k",
        "-auto-alt-ref",
        "1",
        "-lag-in-frames",
        "16",
        "-g",
        "40",
    ]
    ffmpeg("-i", source, *encoder, "-pass", "1", "-passlogfile", notes, "-f", "null", "-")
    ffmpeg("-i", source, *encoder, "-pass", "2", "-passlogfile", notes, path)
    with av.open(str(path)) as file:
        assert sum(packet.size > 0 for packet in file.demux()) > COUNT
    assert_same_as_straight(path, views=4, frames=3, stride=3)
    assert sum(decoded) < COUNT


@pytest.mark.parametrize("name", ["h264.mp4", "h264_open_gop.mkv", "mpeg4.avi", "hevc.ts", "mpeg2.mpg", "vp9.webm"])
def test_overlapping_windows_share_one_pass(name: str, tmp_path: Path, decoded: list[int]) -> None:
    cell = next(cell for cell in CELLS if cell.name == name)
    path = encode(tmp_path / name, cell.codec, count=COUNT, options=cell.options, muxer=cell.muxer)
    assert_same_as_straight(path, views=10, frames=8, stride=8)
    assert sum(decoded) <= STRAIGHT * COUNT


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.avi", "h264.ts", "mpeg1.mpg", "h264.flv", "gif.gif"])
@pytest.mark.parametrize("count", [1, 5, 30])
def test_short_videos_repeat_their_frames_and_say_so(name: str, count: int, tmp_path: Path) -> None:
    cell = next(cell for cell in CELLS if cell.name == name)
    path = encode(
        tmp_path / name, cell.codec, count=count, options=cell.options, muxer=cell.muxer, pix_fmt=cell.pix_fmt
    )
    extraction = assert_same_as_straight(path, views=3, frames=8, stride=8)
    assert any("short" in warning for warning in extraction.warnings)
