"""Segments of real files: the frames of a straight decode, in one pass, and no more of them alive than two."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from laps_server.errors import BadParameter, ClientClosed, MediaError, ResolutionTooLarge, VideoCorrupt
from laps_server.segment_length import SegmentLength
from laps_server.video.extract import extract_parts
from laps_server.video.limits import MediaLimits
from support.numbered_videos import (
    HEIGHT,
    WIDTH,
    assert_segments_same_as_straight,
    cut,
    encode,
    extract,
    extract_options,
    ffmpeg,
    numbered,
    read_number,
    repeat,
    straight,
)

TESTS = Path(__file__).parents[2]
X264 = {"preset": "veryfast", "g": "20", "keyint_min": "20", "sc_threshold": "0", "bf": "3", "b_strategy": "0"}
OPEN_GOP = {**X264, "x264-params": "open-gop=1"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:min-keyint=20:pools=1:frame-threads=1"}
MPEG = {"g": "12", "bf": "2", "b": "800k"}
VP9 = {"g": "20", "b": "400k", "deadline": "realtime", "cpu-used": "8"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
MILLISECOND = Fraction(1, 1000)
COUNT = 160  # 6.4 seconds: six whole segments of a second and a short one
ONCE = 1.1  # every frame once, and the first picture before


# name, codec, how it is encoded, how it is muxed
CELLS: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
    ("h264.mp4", "libx264", X264, {}),
    ("h264_open_gop.mp4", "libx264", OPEN_GOP, {}),
    ("h264_one_gop.mp4", "libx264", {**X264, "g": "1000", "keyint_min": "1000"}, {}),
    ("h264_fragments.mp4", "libx264", X264, FRAGMENTS),
    ("mjpeg.mov", "mjpeg", {}, {}),
    ("h264.mkv", "libx264", X264, {}),
    ("hevc.mkv", "libx265", X265, {}),
    ("vp9.webm", "libvpx-vp9", VP9, {}),
    ("mpeg4.avi", "mpeg4", MPEG, {}),
    ("h264.ts", "libx264", X264, {}),
    ("mpeg2.mpg", "mpeg2video", MPEG, {}),
    ("h264.flv", "libx264", X264, {}),
    ("vp8.ogg", "libvpx", VP9, {}),
    ("gif.gif", "gif", {}, {}),
]


@pytest.mark.parametrize(
    ("cell", "length"),
    [*((cell, "1s") for cell in CELLS), *((cell, "2.5s") for cell in CELLS if cell[0] in ("h264.mp4", "h264.ts"))],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_segments_are_those_of_a_straight_decode_in_one_pass(
    cell: tuple[str, str, dict[str, str], dict[str, str]], length: str, tmp_path: Path, decoded: list[int]
) -> None:
    name, codec, options, muxer_options = cell
    path = encode(
        tmp_path / name,
        codec,
        count=COUNT,
        options=options,
        muxer="vob" if name.endswith("mpg") else None,
        muxer_options=muxer_options,
        pix_fmt={"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p"),
    )
    segments, warnings = assert_segments_same_as_straight(path, length)
    assert warnings == ()
    assert sum(decoded) <= ONCE * COUNT
    starts = [segment.segment.start_s for segment in segments]
    seconds = float(SegmentLength.parse(length).seconds)
    assert starts == [index * seconds for index in range(len(starts))]
    assert [segment.segment.end_s for segment in segments[:-1]] == starts[1:]
    # FLV declares a duration that counts from the first decoding time, two frames earlier.
    assert segments[-1].segment.end_s == pytest.approx(6.4, abs=0.09)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts"])
def test_frames_that_no_segment_samples_are_jumped_over(name: str, tmp_path: Path, decoded: list[int]) -> None:
    path = encode(tmp_path / name, "libx264", count=600, options=X264)
    assert_segments_same_as_straight(path, "6s", views=1)
    assert sum(decoded) <= 0.3 * 600


@pytest.mark.parametrize("name", ["parts.mp4", "parts.mov", "parts.mkv", "parts.ts", "parts.avi", "parts.flv"])
def test_a_segment_is_sampled_as_a_file_cut_from_the_video_without_loss(name: str, tmp_path: Path) -> None:
    options = {**X264, "g": "50", "keyint_min": "50", "bf": "0"}
    path = encode(tmp_path / name, "libx264", count=250, options=options)
    pattern = tmp_path / f"part%d{path.suffix}"
    splitter = ["-f", "segment", "-segment_time", "2", "-reset_timestamps", "1"]
    ffmpeg("-i", path, "-c", "copy", *splitter, pattern)
    segments, _ = cut(path, "2s", extract_options(views="5x1"))
    assert len(segments) == 5
    for number, segment in enumerate(segments):
        alone = extract(Path(str(pattern) % number), views="5x1")
        batch = segment
        np.testing.assert_array_equal(batch.clip_frames, alone.clip_frames)
        np.testing.assert_array_equal(np.stack(batch.pixels), np.stack(alone.pixels))
        moved = [(frame.index or 0) + 50 * number for frame in alone.frames]
        assert [frame.index for frame in batch.frames] == moved


def uneven(number: int) -> int:
    """Milliseconds of a clock that runs fast, slow and with gaps."""
    return number * 33 + (number % 7) * 4 + (number // 40) * 2500


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv", "vfr.flv", "vfr.ts"])
def test_an_unsteady_clock_with_gaps_wider_than_a_segment(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, "libx264", count=COUNT, options=X264, pts_of=uneven, time_base=MILLISECOND)
    segments, _ = assert_segments_same_as_straight(path, "1s")
    indices = [segment.segment.index for segment in segments]
    assert indices == sorted(set(indices))
    assert indices != list(range(len(indices))), "no window was left out"


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_time_counts_from_the_first_frame(name: str, tmp_path: Path) -> None:
    path = encode(
        tmp_path / name,
        "libx264",
        count=100,
        options=X264,
        pts_of=lambda number: 7500 + number * 40,
        time_base=MILLISECOND,
    )
    segments, _ = assert_segments_same_as_straight(path, "1s")
    assert [segment.segment.index for segment in segments] == [0, 1, 2, 3]


def test_short_segments_repeat_their_frames_and_say_so(tmp_path: Path) -> None:
    path = encode(tmp_path / "short.mp4", "libx264", count=30, options=X264)
    segments, warnings = cut(path, "1s", extract_options(views="2x1", frames=4, stride=4))
    assert [len(segment.segment.frames) for segment in segments] == [25, 5]
    long, short = segments
    assert long.warnings == ()
    assert short.warnings == ("the segment is short: 5 frames for clips of 16, so frames repeat",)
    assert warnings == ()
    assert (short.segment.start_s, short.segment.end_s) == (1.0, 1.2)


# Timestamps that are of no use ---------------------------------------------------------------------


def test_frames_are_counted_where_pictures_come_without_their_times(tmp_path: Path, decoded: list[int]) -> None:
    path = encode(tmp_path / "b_frames.avi", "libx264", count=COUNT, options=X264)
    segments, warnings = assert_segments_same_as_straight(path, "1s")
    assert warnings == (), "packets tell when so many pictures are shown"
    assert sum(decoded) <= 1.3 * COUNT, "it was decoded more than once"
    assert segments[-1].segment.end_s == pytest.approx(6.4, abs=0.05)


def test_frames_are_counted_where_the_clock_jumps_back(tmp_path: Path) -> None:
    first = encode(tmp_path / "first.ts", "libx264", count=60, options=X264)
    second = encode(tmp_path / "second.ts", "libx264", count=60, options=X264, draw=lambda n: numbered(60 + n))
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    segments, warnings = assert_segments_same_as_straight(path, "1s")
    assert len(segments) == 5
    assert any("timestamps are unusable" in text for text in warnings)


@pytest.mark.parametrize("lie", [1, 100, 10_000], ids=lambda lie: f"{lie} packets announced")
def test_a_wrong_guess_of_the_number_of_frames_is_put_right(
    lie: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting begins with a guess of the end, and what depends on the end waits for it."""
    from laps_server.video import sampler
    from laps_server.video.timestamps import TimestampsUnreliable

    def distrust(*_: object) -> None:
        raise TimestampsUnreliable("a test says so", packets=lie)

    path = encode(tmp_path / "counted.mkv", "libx264", count=COUNT, options=X264)
    monkeypatch.setattr(sampler, "walk_packets", distrust)
    segments, warnings = cut(path, "1s", extract_options(views="3x1"))
    expected = straight(path).segments(Fraction(1))
    assert [segment.segment.index for segment in segments] == list(expected)
    for segment, (first, alone) in zip(segments, expected.values(), strict=True):
        shown = [read_number(pixels) for pixels in segment.pixels]
        numbers = [[shown[place] - first for place in clip] for clip in segment.clip_frames]
        assert numbers == alone.clips(4, 4, 3)
    assert segments[-1].total == len(segments)
    assert len(warnings) == (lie > 1), "what was handed out by a made-up clock is told"


def spoil(path: Path, *, start: float, stop: float, fill: bytes = b"\xff") -> None:
    """Overwrite a part of a file, from one share of its length to another."""
    data = bytearray(path.read_bytes())
    low, high = int(len(data) * start), int(len(data) * stop)
    data[low:high] = fill * (high - low)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "codec", "options", "told"),
    [
        ("hole.mp4", "libx264", {**X264, "bf": "0"}, "could not be decoded"),
        ("hole.mp4", "mpeg4", MPEG, "could not be decoded"),
        ("hole.ts", "mpeg2video", MPEG, "damaged"),
    ],
    ids=["h264.mp4", "mpeg4.mp4", "mpeg2.ts"],
)
def test_damage_in_the_middle_keeps_what_came_before_and_goes_on_behind_it(
    name: str, codec: str, options: dict[str, str], told: str, tmp_path: Path
) -> None:
    path = encode(tmp_path / name, codec, count=500, options=options)
    whole, _ = cut(path, "2s", extract_options(views="2x1"))
    spoil(path, start=0.50, stop=0.52)
    segments, warnings = cut(path, "2s", extract_options(views="2x1"))
    for damaged, good in zip(segments[:4], whole[:4], strict=True):
        assert damaged.segment == good.segment
        np.testing.assert_array_equal(np.stack(damaged.pixels), np.stack(good.pixels))
    assert [segment.segment.index for segment in segments] == list(range(10))
    assert read_number(segments[-1].pixels[-1]) > 480
    assert any(told in text for text in warnings)
    assert segments[-1].total == 10


def test_a_body_of_nothing_but_damage_is_corrupt(tmp_path: Path) -> None:
    path = encode(tmp_path / "noise.mp4", "libx264", count=100, options=X264, muxer_options={"movflags": "faststart"})
    spoil(path, start=path.read_bytes().index(b"mdat") / path.stat().st_size + 0.01, stop=1)
    with pytest.raises(VideoCorrupt):
        cut(path, "1s", extract_options())


def test_a_file_that_ends_early_ends_there(tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.mkv", "libx264", count=250, options=X264)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    segments, warnings = cut(path, "1s", extract_options())
    assert len(segments) < 8
    assert segments[-1].segment.end_s < 8
    assert any("ends at" in text for text in warnings)


# Limits --------------------------------------------------------------------------------------------


def test_too_many_segments_name_the_shortest_length_that_works(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", "libx264", count=300, options=X264)
    limits = MediaLimits(max_segments=7)
    with pytest.raises(BadParameter, match="12 in this video, more than 7") as refused:
        cut(path, "1s", extract_options(), limits=limits)
    hint = refused.value.hint or ""
    assert hint == "use segments=1.709s or longer"  # the last frame is shown at 11.96 s
    segments, _ = cut(path, "1.709s", extract_options(), limits=limits)
    assert len(segments) == 7
    with pytest.raises(BadParameter):
        cut(path, "1.708s", extract_options(), limits=limits)


def test_a_pause_of_weeks_is_too_many_segments_and_not_too_much_memory(tmp_path: Path) -> None:
    def after_a_pause(number: int) -> int:
        return number if number < 50 else number + 720 * 3600 * 25

    path = encode(tmp_path / "gap.mkv", "libx264", count=100, options=X264, pts_of=after_a_pause)
    with pytest.raises(BadParameter, match="259201 in this video"):
        cut(path, "10s", extract_options())
    segments, _ = cut(path, "24h", extract_options())
    assert [segment.segment.index for segment in segments] == [0, 30]


def test_the_decoder_may_keep_half_of_what_a_video_may(tmp_path: Path) -> None:
    path = encode(tmp_path / "half.mp4", "libx264", count=100, options=X264)
    picture_bytes = WIDTH * HEIGHT * 3
    options = extract_options(views="1x1", frames=4)
    segments, _ = cut(path, "1s", options, limits=MediaLimits(max_kept_bytes=8 * picture_bytes))
    assert len(segments) == 4
    with pytest.raises(ResolutionTooLarge, match="memory"):
        cut(path, "1s", options, limits=MediaLimits(max_kept_bytes=7 * picture_bytes))


@pytest.mark.parametrize("calls", [0, 30, 230, 330])
@pytest.mark.parametrize("name", ["stop.mp4", "stop.avi"])
def test_it_stops_when_told(calls: int, name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, "libx264", count=200, options=X264)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > calls

    with pytest.raises(ClientClosed):
        cut(path, "1s", extract_options(), should_stop=should_stop)
    assert asked == calls + 1


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path, decoded: list[int]) -> None:
    path = encode(tmp_path / "lazy.mp4", "libx264", count=500, options=X264)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = extract_parts(descriptor, extract_options(views="1x1", window_s=Fraction(2)), limits=MediaLimits())
        assert decoded == []
        next(parts)
        first = sum(decoded)
        assert first < 80
        next(parts)
        assert first < sum(decoded) < 140
        parts.close()
    finally:
        os.close(descriptor)


# Memory --------------------------------------------------------------------------------------------

MEASURE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from contextlib import suppress
from fractions import Fraction
from laps_server.video.extract import extract_parts
from laps_server.video.limits import MediaLimits
from support.numbered_videos import extract_options, peak_kib
options = extract_options(views="4x3", frames=8, stride=8, window_s=Fraction(10))
descriptor = os.open(sys.argv[2], os.O_RDONLY)
before, count = 0, 0
for part in extract_parts(descriptor, options, limits=MediaLimits()):
    before, count = peak_kib(), part.ordinal + 1
print(json.dumps([before, count]))
"""


def measure(path: Path) -> tuple[int, int]:
    """Peak KiB of a process that does nothing but extract segments, and their number."""
    command = [sys.executable, "-c", MEASURE, str(TESTS), str(path)]
    peak, count = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return peak, count


@pytest.mark.parametrize("name", ["video.mp4", "video.ts"])
def test_ten_minutes_take_as_much_memory_as_half_a_minute(name: str, tmp_path: Path) -> None:
    options = {**X264, "preset": "ultrafast", "g": "50", "keyint_min": "50"}
    half_a_minute = encode(tmp_path / f"short_{name}", "libx264", count=750, options=options)
    video = repeat(half_a_minute, tmp_path / name, 20)
    short_peak, short_count = measure(half_a_minute)
    long_peak, long_count = measure(video)
    assert (short_count, long_count) == (3, 60)
    assert long_peak <= 1.1 * short_peak, f"{short_peak} KiB for half a minute, {long_peak} KiB for ten"


# Headers that lie about the end ---------------------------------------------------------------------


def declare_duration(path: Path, seconds: float) -> None:
    """Write another Duration into a Matroska file."""
    data = path.read_bytes()
    place = data.index(b"\x44\x89\x88") + 3  # the element's name, then its length: eight bytes
    path.write_bytes(data[:place] + struct.pack(">d", seconds * 1000) + data[place + 8 :])


@pytest.mark.parametrize("declared_s", [12.0, 11.9, 6.0, 60.0])
def test_segments_end_where_their_frames_do_whatever_is_declared(declared_s: float, tmp_path: Path) -> None:
    path = encode(tmp_path / "lies.mkv", "mpeg4", count=120, rate=10, options={"g": "10"})
    declare_duration(path, declared_s)
    for length, windows in (("1s", 12), ("5s", 3), ("11.9s", 2), ("1h", 1)):
        segments, _ = cut(path, length, extract_options(views="1x1", frames=2, stride=2))
        assert len(segments) == windows
        for segment in segments:
            times = [frame.time_s for frame in segment.frames]
            assert segment.segment.start_s <= min(times)
            assert max(times) < segment.segment.end_s
        assert segments[-1].segment.end_s == pytest.approx(12.0, abs=0.01)


def test_counting_is_bounded_where_packets_give_no_picture(tmp_path: Path, decoded: list[int]) -> None:
    path = encode(tmp_path / "noise.avi", "mjpeg", count=400, pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xd8", data.index(b"movi") + 2000)
    while place >= 0:
        data[place : place + 2] = b"\x00\x00"
        place = data.find(b"\xff\xd8", place)
    path.write_bytes(data)
    limits = MediaLimits(max_packets=50, max_frames=50)
    with suppress(MediaError):
        cut(path, "1h", extract_options(views="1x1"), limits=limits)
    assert len(decoded) < 8 * 50


def test_a_long_video_that_goes_on_behind_its_declared_end_has_as_many_segments_as_it_has(tmp_path: Path) -> None:
    """Its index is sought, since one window holds what is declared; the last frame tells that there are two."""
    path = encode(tmp_path / "long.mkv", "mpeg4", count=650, rate=5, options={"g": "5"})
    declare_duration(path, 121)
    segments, _ = cut(path, "125s", extract_options(views="1x1", frames=2, stride=2))
    assert [segment.segment.frames for segment in segments] == [range(625), range(625, 650)]


def test_counted_frames_of_a_damaged_file_keep_their_own_times(tmp_path: Path) -> None:
    """One time stands twice, so frames are counted; packets without a picture must not shift those behind them."""
    source = encode(tmp_path / "source.mkv", "mpeg4", count=600, rate=10, options={"g": "1"})
    path = tmp_path / "shifted.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(packet for packet in given.demux(video=0) if packet.size):
            data = bytes(24) if 20 <= number < 35 else bytes(packet)
            again = av.Packet(data)
            again.stream, again.time_base = copy, Fraction(1, 10)
            again.pts = again.dts = number - (number == 5)
            again.is_keyframe = True
            out.mux(again)
    segments, _ = cut(path, "20s", extract_options(views="4x1"))
    assert len(segments) == 3
    for segment in segments:
        for frame, pixels in zip(segment.frames, segment.pixels, strict=True):
            number = read_number(pixels)
            assert frame.time_s == pytest.approx((number - (number == 5)) / 10, abs=0.002)
