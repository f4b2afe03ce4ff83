"""Files that were cut off, damaged, or hold impossible numbers: frames and a warning, or an error of the tree."""

from __future__ import annotations

import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import pytest

from laps_server.errors import ClientClosed, MediaError, NoVideoStream, VideoCorrupt
from laps_server.video.accepted_formats import CodecSet
from laps_server.video.av_file.stream_headers import StreamHeaders
from laps_server.video.sampling.windowed import WindowedRule
from support.numbered_videos import encode, extract

X264 = {"preset": "veryfast", "g": "20", "bf": "3"}
NTSC = Fraction(30_000, 1001)
FAST_START = {"movflags": "faststart"}


WAYS_TO_WRITE = [
    ("cut.mp4", "libx264", None),
    ("cut.mov", "mjpeg", None),
    ("cut.mkv", "libx264", None),
    ("cut.webm", "libvpx", None),
    ("cut.avi", "mpeg4", None),
    ("cut.ts", "libx264", None),
    ("cut.mpg", "mpeg2video", "vob"),
    ("cut.flv", "libx264", None),
    ("cut.gif", "gif", None),
    ("cut_divx3.avi", "msmpeg4", None),
    ("cut_ffv1.mkv", "ffv1", None),
    ("cut.wmv", "wmv2", None),
]


def set_for(name: str) -> CodecSet:
    """The setting that takes a file of such a name."""
    return "wide" if name.endswith((".wmv", ".dv")) else "standard"


@pytest.mark.parametrize(("name", "codec", "muxer"), WAYS_TO_WRITE, ids=[way[0] for way in WAYS_TO_WRITE])
def test_a_file_cut_at_sixty_percent_gives_its_frames_and_a_warning(
    name: str, codec: str, muxer: str | None, tmp_path: Path
) -> None:
    path = encode(
        tmp_path / name,
        codec,
        count=150,
        options={"g": "20", "b": "400k"},
        muxer=muxer,
        muxer_options=FAST_START if name.endswith(("mp4", "mov")) else None,
        pix_fmt={"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p"),
    )
    assert extract(path, codecs=set_for(name)).warnings == ()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 6 // 10)
    extraction = extract(path, codecs=set_for(name))
    assert not any("timestamps" in warning for warning in extraction.warnings)
    assert any("cut off" in warning or "declares" in warning for warning in extraction.warnings)
    indices = [frame.index for frame in extraction.frames]
    assert indices[0] == 0
    assert 30 < (indices[-1] or 0) < 120


@pytest.mark.parametrize(("size", "rate", "pix_fmt"), [((720, 576), 25, "yuv420p"), ((720, 480), NTSC, "yuv411p")])
def test_raw_dv_shows_a_cut_inside_a_frame(
    size: tuple[int, int], rate: int | Fraction, pix_fmt: str, tmp_path: Path
) -> None:
    path = encode(tmp_path / "cut.dv", "dvvideo", count=10, size=size, rate=rate, pix_fmt=pix_fmt)
    assert not any("cut off" in warning for warning in extract(path, codecs="wide").warnings)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 50_000)
    extraction = extract(path, codecs="wide")
    assert any("cut off" in warning for warning in extraction.warnings)
    assert {frame.index for frame in extraction.frames} <= set(range(9))


def test_an_mp4_whose_index_was_cut_off_is_corrupt(tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.mp4", "libx264", count=150, options=X264)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 6 // 10)
    with pytest.raises(VideoCorrupt):
        extract(path)


def test_a_file_cut_inside_its_first_frame_is_corrupt(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = good.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 60])
    with pytest.raises(VideoCorrupt):
        extract(path)


@pytest.mark.parametrize("seed", range(8))
def test_scattered_damage_gives_an_answer_or_a_media_error(seed: int, tmp_path: Path) -> None:
    for name, codec, muxer in WAYS_TO_WRITE[:1] + WAYS_TO_WRITE[2:8] + WAYS_TO_WRITE[9:]:
        path = encode(tmp_path / name, codec, count=60, options={"g": "20", "b": "400k"}, muxer=muxer)
        data = bytearray(path.read_bytes())
        for step in range(1 + seed * 3):
            data[(seed * 7919 + step * 104_729) % len(data)] ^= 0xFF
        path.write_bytes(data)
        with suppress(MediaError):
            assert extract(path, codecs=set_for(name)).frames


def test_times_further_apart_than_a_number_holds_are_not_used(tmp_path: Path) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    path = encode(tmp_path / "far.mp4", "libx264", count=60, options={**X264, "bf": "0"}, muxer_options=fragments)
    data = bytearray(path.read_bytes())
    first, last = (data.find(b"tfdt"), data.rfind(b"tfdt"))
    for place, time in ((first, -(2**62) - 2**61), (last, 2**62 + 2**61)):
        data[place + 8 : place + 16] = struct.pack(">q", time)  # behind version and flags
    path.write_bytes(data)
    extraction = extract(path)
    assert any("timestamps are unusable" in warning for warning in extraction.warnings)
    assert [frame.index for frame in extraction.frames]
    assert all(0 <= frame.pts < 2**40 for frame in extraction.frames)


def test_a_duration_beyond_all_time_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "joined.ts", "libx264", count=40, options=X264)
    path.write_bytes(path.read_bytes() * 2)  # the clock goes back, so that frames are counted
    monkeypatch.setattr(StreamHeaders, "frame_count", 1)
    monkeypatch.setattr(StreamHeaders, "duration", 2**63 - 1)
    with pytest.raises(VideoCorrupt, match="beyond all time"):
        extract(path)


@pytest.mark.parametrize("trouble", [OverflowError("int too big"), ZeroDivisionError(), ValueError("NaN")], ids=repr)
def test_numbers_that_nothing_can_be_made_of_are_damage(
    trouble: Exception, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WindowedRule, "windows", Mock(side_effect=trouble))
    with pytest.raises(VideoCorrupt, match="impossible numbers") as damage:
        extract(good)
    assert damage.value.__cause__ is trouble


@pytest.mark.parametrize("trouble", [ClientClosed("gone"), NoVideoStream("none"), TypeError("a defect")], ids=repr)
def test_other_errors_stay_what_they_are(trouble: Exception, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WindowedRule, "windows", Mock(side_effect=trouble))
    with pytest.raises(type(trouble)) as raised:
        extract(good)
    assert raised.value is trouble
