"""Videos beside sound that begins earlier or ends later: what is said of the video is about the video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from laps_server.video import sampler
from support.numbered_videos import cut, encode, extract, extract_options

COUNT, RATE = 75, 25  # three seconds
SOUND_RATE = 16_000
NAMES = ["a.mp4", "fragments.mp4", "a.mov", "a.mkv", "a.webm", "a.flv", "a.ts", "a.mpg", "a.avi"]
VIDEO = {"webm": "libvpx", "ts": "mpeg2video", "mpg": "mpeg2video", "flv": "libx264"}
SOUND = {"webm": "libopus", "ts": "mp2", "mpg": "mp2", "avi": "mp2"}
# A video that begins late is written with empty entries in AVI, which are another matter.
CASES = [
    pytest.param(name, video_s, sound_s, id=f"{name}, {title}")
    for name in NAMES
    for title, video_s, sound_s in [("together", 0, 3), ("sound first", 5, 8), ("sound last", 0, 8), ("both", 3, 10)]
    if not (video_s and name == "a.avi")
]


def write(path: Path, *, video_s: float = 0, sound_s: float, count: int = COUNT) -> Path:
    """A video of ``count`` numbered pictures that begins at ``video_s``, beside sound from 0 to ``sound_s``."""
    suffix = path.suffix[1:]
    silent = encode(
        path.with_suffix(f".silent.{suffix}"),
        VIDEO.get(suffix, "mpeg4"),
        count=count,
        options={"g": "20", "b": "400k", "bf": "0"},
    )
    options = {"movflags": "frag_keyframe+delay_moov"} if path.stem == "fragments" else {}
    with av.open(str(silent)) as source, av.open(str(path), "w", options=options) as out:
        video = out.add_stream_from_template(source.streams.video[0])
        sound = cast(AudioStream, out.add_stream(SOUND.get(suffix, "aac"), rate=SOUND_RATE))
        sound.layout = "mono"
        packets = []
        base = source.streams.video[0].time_base or Fraction(1, RATE)
        first = None
        for packet in source.demux(video=0):
            if packet.size and packet.dts is not None and packet.pts is not None:
                first = packet.dts if first is None else first
                late = round(video_s / base) - first
                packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, video
                packets.append((float(packet.dts * base), packet))
        step = sound.codec_context.frame_size or 1024
        for number in range(int(sound_s * SOUND_RATE) // step):
            frame = AudioFrame.from_ndarray(np.zeros((1, step), dtype=np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, number * step, Fraction(1, SOUND_RATE)
            for coded in sound.encode(frame):
                while packets and packets[0][0] <= number * step / SOUND_RATE:
                    out.mux(packets.pop(0)[1])
                out.mux(coded)
        for _, packet in packets:
            out.mux(packet)
        out.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(("name", "video_s", "sound_s"), CASES)
def test_how_long_the_sound_is_says_nothing_of_the_video(
    name: str, video_s: float, sound_s: float, tmp_path: Path
) -> None:
    path = write(tmp_path / name, video_s=video_s, sound_s=sound_s)
    whole = extract(path)
    assert whole.warnings == ()
    assert whole.info.duration_s == pytest.approx(COUNT / RATE, abs=0.07)
    segments, warnings = cut(path, "2s", extract_options())
    assert warnings == ()
    assert [segment.segment.start_s for segment in segments] == [0, 2]
    assert segments[-1].segment.end_s == pytest.approx(COUNT / RATE, abs=0.07)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_is_told_beside_sound_too(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, sound_s=3)
    if name in ("a.mp4", "a.mov"):  # whose index comes last
        with (
            av.open(str(path)) as source,
            av.open(str(path.with_name(f"x{name}")), "w", options={"movflags": "faststart"}) as out,
        ):
            streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.size:
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
        path = path.with_name(f"x{name}")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 6 // 10 | 1)
    assert any("cut off" in warning for warning in extract(path).warnings)


def test_a_video_that_begins_at_a_picture_that_does_not_decode_is_not_cut(tmp_path: Path) -> None:
    """A Matroska file alone, cut out between two key frames: what cannot be shown is not missing at the end."""
    options = {"g": "50", "keyint_min": "50", "sc_threshold": "0", "bf": "0"}
    video = encode(tmp_path / "video.mkv", "libx264", count=160, options=options)
    path = tmp_path / "part.mkv"
    with av.open(str(video)) as source, av.open(str(path), "w") as out:
        added = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number >= 10:
                packet.stream = added
                out.mux(packet)
    found = extract(path)
    assert not any("ends at" in warning for warning in found.warnings)
    assert found.info.duration_s == pytest.approx(110 / RATE, abs=0.07)


def test_a_long_video_beside_sound_is_still_searched_by_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mkv", sound_s=8)
    monkeypatch.setattr(sampler, "WALK_SECONDS", 1)
    monkeypatch.setattr(sampler, "walk_packets", None)  # would fail
    found = extract(path, views="2x1")
    assert found.warnings == ()
    assert found.info.duration_s == pytest.approx(COUNT / RATE, abs=0.07)


def test_a_pause_before_a_trimmed_video_is_not_missing_at_its_end(tmp_path: Path) -> None:
    """An edit list of an empty edit and a trim: FFmpeg's duration counts both."""
    video = encode(tmp_path / "video.mp4", "mpeg4", count=COUNT, options={"g": "25"})
    data = video.read_bytes()
    at = data.index(b"elst") - 4
    start = data[at + 20 : at + 28]  # media time and rate of the only edit
    edits = [(2000).to_bytes(4) + b"\xff" * 4 + b"\x00\x01\x00\x00", (1000).to_bytes(4) + start]
    patched = b"elst" + bytes(4) + (2).to_bytes(4) + b"".join(edits)
    grown = len(patched) + 4 - int.from_bytes(data[at : at + 4])
    data = data[:at] + (len(patched) + 4).to_bytes(4) + patched + data[at + int.from_bytes(data[at : at + 4]) :]
    for box in (b"moov", b"trak", b"edts"):  # the index lies behind the pictures, so no place in it changes
        place = data.index(box) - 4
        data = data[:place] + (int.from_bytes(data[place : place + 4]) + grown).to_bytes(4) + data[place + 4 :]
    video.write_bytes(data)
    found = extract(video)
    assert found.warnings == ()
    assert found.info.duration_s == pytest.approx(1, abs=0.07)
