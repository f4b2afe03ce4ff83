"""Pixel formats, sizes, rotation and clocks that real files have: right frames, whatever their shape."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
import pytest

from support.hostile_files import lie_about, set_matrix
from support.numbered_videos import (
    HEIGHT,
    WIDTH,
    Pixels,
    Sampled,
    assert_same_as_straight,
    encode,
    extract,
    ffmpeg,
    numbered,
    patch_bytes,
    read_number,
    sampled_numbers,
    straight,
)

COUNT = 100
X264 = {"preset": "veryfast", "g": "20", "keyint_min": "20", "sc_threshold": "0", "bf": "3", "b_strategy": "0"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:pools=1:frame-threads=1"}
MILLISECOND = Fraction(1, 1000)


def spread(extraction: Sampled) -> list[int]:
    """The numbers shown by the first frame of every clip."""
    return [clip[0] for clip in sampled_numbers(extraction)]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("h264_10bit.mp4", "libx264", "yuv420p10le", X264),
        ("h264_444.mp4", "libx264", "yuv444p", X264),
        ("h264_422_10bit.mkv", "libx264", "yuv422p10le", X264),
        ("h264_gray.mp4", "libx264", "gray", X264),
        ("hevc_10bit.mp4", "libx265", "yuv420p10le", X265),
        ("hevc_444.mkv", "libx265", "yuv444p", X265),
        ("hevc_gray.mp4", "libx265", "gray", X265),
        ("vp9_444.webm", "libvpx-vp9", "yuv444p", {"g": "20", "b": "400k", "cpu-used": "8", "deadline": "realtime"}),
        ("mjpeg_444.avi", "mjpeg", "yuvj444p", {}),
        ("mpeg2_422.ts", "mpeg2video", "yuv422p", {"g": "12", "bf": "2", "b": "800k"}),
    ],
)
def test_pixel_formats(name: str, codec: str, pix_fmt: str, options: dict[str, str], tmp_path: Path) -> None:
    path = encode(tmp_path / name, codec, count=COUNT, options=options, pix_fmt=pix_fmt)
    assert len(set(spread(assert_same_as_straight(path)))) == 5


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.mp4", "libx264", {**X264, "flags": "+ilme+ildct", "x264-params": "tff=1"}),
        ("h264.ts", "libx264", {**X264, "flags": "+ilme+ildct", "x264-params": "tff=1"}),
        ("mpeg2.mpg", "mpeg2video", {"g": "12", "bf": "2", "b": "800k", "flags": "+ilme+ildct"}),
    ],
)
def test_interlaced_frames_are_kept_whole(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    muxer = "vob" if name.endswith("mpg") else None
    path = encode(tmp_path / name, codec, count=COUNT, options=options, muxer=muxer)
    assert_same_as_straight(path)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("h264.mp4", "libx264", "yuv444p", (97, 65)),
        ("vp8.webm", "libvpx", "yuv420p", (97, 65)),
        ("mpeg4.avi", "mpeg4", "yuv420p", (63, 101)),
        ("mjpeg.mov", "mjpeg", "yuvj420p", (65, 97)),
        ("gif.gif", "gif", "rgb8", (97, 65)),
    ],
)
def test_odd_sizes(name: str, codec: str, pix_fmt: str, size: tuple[int, int], tmp_path: Path) -> None:
    path = encode(tmp_path / name, codec, count=COUNT, size=size, pix_fmt=pix_fmt, options={"b": "1M"})
    assert_same_as_straight(path)


# Clockwise rotation for display -> the matrix (a, b, c, d) of an MP4 track header.
MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_rotated_videos_come_upright(clockwise: int, tmp_path: Path) -> None:
    turns = clockwise // 90

    def lying(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.rot90(numbered(number), turns)  # numpy turns counterclockwise, the player turns it back

    size = (WIDTH, HEIGHT) if turns % 2 == 0 else (HEIGHT, WIDTH)
    path = encode(tmp_path / "turned.mp4", "libx264", count=COUNT, options=X264, size=size, draw=lying)
    set_matrix(path, MATRICES[clockwise])
    extraction = assert_same_as_straight(path)
    assert extraction.info.rotation == clockwise
    assert (extraction.info.width, extraction.info.height) == size
    assert extraction.pixels[0].shape == (HEIGHT, WIDTH, 3)
    assert spread(extraction) == [0, 17, 34, 51, 68]


def as_it_is(picture: Pixels) -> Pixels:
    return picture


def transposed(picture: Pixels) -> Pixels:
    return picture.transpose(1, 0, 2)


def transposed_the_other_way(picture: Pixels) -> Pixels:
    return np.rot90(picture, 2).transpose(1, 0, 2)


@pytest.mark.parametrize(
    ("matrix", "seen", "rotation"),
    [
        pytest.param((-1, 0, 0, 1), np.fliplr, 0, id="left for right"),
        pytest.param((1, 0, 0, -1), np.flipud, 180, id="upside down in a mirror"),
        pytest.param((0, 1, 1, 0), transposed, 270, id="transposed"),
        pytest.param((0, -1, -1, 0), transposed_the_other_way, 90, id="transposed the other way"),
        pytest.param((-2, 0, 0, 0.5), np.fliplr, 0, id="mirrored and stretched"),
        pytest.param((0, 0, 0, 0), as_it_is, 0, id="nothing"),
        pytest.param((0, 1, 0, 0), as_it_is, 0, id="a line"),
        pytest.param((1, 1, 1, 1), as_it_is, 0, id="a diagonal"),
    ],
)
def test_mirrored_videos_come_as_they_are_to_be_seen(
    matrix: tuple[float, float, float, float], seen: Callable[[Pixels], Pixels], rotation: int, tmp_path: Path
) -> None:
    path = encode(tmp_path / "mirrored.mp4", "libx264", count=COUNT, options=X264)
    decoded = straight(path).frames
    set_matrix(path, matrix)
    extraction = extract(path)
    assert extraction.info.rotation == rotation
    for frame, pixels in zip(extraction.frames, extraction.pixels, strict=True):
        assert frame.index is not None
        np.testing.assert_array_equal(pixels, seen(decoded[frame.index]))


def exif_of(orientation: int) -> bytes:
    """A JPEG segment with nothing but the orientation, tag 0x112."""
    entry = struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0)
    content = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, as_it_is),
        (2, np.fliplr),
        (3, lambda picture: np.rot90(picture, 2)),
        (4, np.flipud),
        (5, transposed),
        (6, lambda picture: np.rot90(picture, -1)),
        (7, transposed_the_other_way),
        (8, np.rot90),
    ],
)
def test_pictures_that_say_themselves_how_they_are_seen(
    orientation: int, seen: Callable[[Pixels], Pixels], tmp_path: Path
) -> None:
    plain = encode(tmp_path / "plain.mkv", "mjpeg", count=20, pix_fmt="yuvj444p")
    path = tmp_path / "exif.mkv"
    with av.open(str(plain)) as given, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.pts is not None:
                data = bytes(packet)
                tagged = av.Packet(data[:2] + exif_of(orientation) + data[2:])
                tagged.stream, tagged.pts, tagged.dts = copy, packet.pts, packet.dts
                tagged.time_base, tagged.is_keyframe = packet.time_base, True
                out.mux(tagged)
    decoded = straight(plain).frames
    batch = extract(path)
    for frame, pixels in zip(batch.frames, batch.pixels, strict=True):
        assert frame.index is not None
        np.testing.assert_array_equal(pixels, seen(decoded[frame.index]))


def uneven(number: int) -> int:
    """Milliseconds of a clock that runs fast, slow and with gaps."""
    return number * 33 + (number % 7) * 4 + (number // 40) * 500


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv", "vfr.flv", "vfr.ts", "vfr.mov"])
def test_variable_frame_rate(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, "libx264", count=COUNT, options=X264, pts_of=uneven, time_base=MILLISECOND)
    extraction = assert_same_as_straight(path)
    assert all(frame.index is not None for frame in extraction.frames)
    by_index = {frame.index: frame.time_s for frame in extraction.frames}
    assert all(abs(time - uneven(index or 0) / 1000) < 0.002 for index, time in by_index.items())


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts", "late.flv", "late.avi"])
def test_time_counts_from_the_first_frame(name: str, tmp_path: Path) -> None:
    path = encode(
        tmp_path / name,
        "libx264",
        count=COUNT,
        options={**X264, "bf": "0"} if name.endswith("avi") else X264,
        pts_of=lambda number: 7000 + number * 40,
        time_base=MILLISECOND,
    )
    extraction = extract(path)
    assert extraction.frames[0].pts == 0
    assert spread(extraction)[0] == 0
    if not name.endswith("avi"):  # its seven silent seconds are a hundred and seventy-five empty frames
        assert_same_as_straight(path)


def test_b_frames_shown_before_time_zero(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "negative.mov",
        "libx264",
        count=COUNT,
        options=X264,
        pts_of=lambda number: (number - 10) * 40,
        time_base=MILLISECOND,
        muxer_options={"movflags": "negative_cts_offsets", "use_editlist": "0", "avoid_negative_ts": "disabled"},
    )
    extraction = assert_same_as_straight(path)
    assert extraction.frames[0].pts == 0


@pytest.mark.parametrize("start", ["0.30", "1.30", "2.00"])
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mov"])
def test_edit_lists_hide_frames(name: str, start: str, tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", "libx264", count=150, options=X264)
    path = tmp_path / name
    ffmpeg("-ss", start, "-i", source, "-c", "copy", path)
    reference = straight(path)
    extraction = assert_same_as_straight(path)
    assert spread(extraction)[0] == read_number(reference.frames[0]) == ceil(float(start) * 25)


def test_an_edit_list_that_ends_early(tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", "libx264", count=150, options=X264)
    path = tmp_path / "cut.mp4"
    ffmpeg("-i", source, "-t", "3.1", "-c", "copy", path)
    assert_same_as_straight(path)


def test_a_size_that_changes_midway(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.ts", "libx264", count=60, options=X264)
    large = encode(
        tmp_path / "large.ts",
        "libx264",
        count=60,
        options=X264,
        size=(2 * WIDTH, 2 * HEIGHT),
        pts_of=lambda number: 60 + number,
        draw=lambda number: numbered(60 + number, 2 * WIDTH, 2 * HEIGHT),
    )
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    reference = straight(path)
    extraction = extract(path)
    assert {picture.shape for picture in reference.frames} == {(64, 96, 3), (128, 192, 3)}
    assert {pixels.shape for pixels in extraction.pixels} == {(64, 96, 3)}
    shown = [read_number(picture) for picture in reference.frames]
    assert sampled_numbers(extraction) == [[shown[i] for i in clip] for clip in reference.clips(4, 4, 5)]


def test_a_clock_that_jumps_back_is_not_believed(tmp_path: Path) -> None:
    first = encode(tmp_path / "first.ts", "libx264", count=60, options=X264)
    second = encode(tmp_path / "second.ts", "libx264", count=60, options=X264, draw=lambda n: numbered(60 + n))
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    extraction = assert_same_as_straight(path)
    assert any("timestamps" in warning for warning in extraction.warnings)


@pytest.mark.parametrize(("name", "hours"), [("gap.mkv", 720), ("gap.flv", 720), ("gap.mp4", 10)])
def test_long_times_without_a_frame(name: str, hours: int, tmp_path: Path) -> None:
    def after_a_pause(number: int) -> int:
        return number if number < 50 else number + hours * 3600 * 25

    path = encode(tmp_path / name, "libx264", count=COUNT, options=X264, pts_of=after_a_pause)
    assert_same_as_straight(path)


def test_ninety_thousand_frames_a_second(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "fast.mp4",
        "libx264",
        count=COUNT,
        options=X264,
        pts_of=lambda number: number,
        time_base=Fraction(1, 90000),
        rate=90000,
    )
    extraction = assert_same_as_straight(path)
    assert extraction.info.fps is None


@pytest.mark.parametrize("name", ["title.mp4", "title.mkv", "title.avi", "title.flv"])
def test_titles_that_are_not_utf8(name: str, tmp_path: Path) -> None:
    options = {**X264, "bf": "0"}
    path = encode(tmp_path / name, "libx264", count=COUNT, options=options, metadata={"title": "TITLE!"})
    patch_bytes(path, b"TITLE!", b"\xff\xfe\xe9\x80\xc3\x28")
    assert_same_as_straight(path)


def test_an_aspect_ratio_is_reported_and_not_applied(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", "libx264", count=COUNT, options={**X264, "x264-params": "sar=64/51"})
    extraction = assert_same_as_straight(path)
    assert extraction.info.sample_aspect_ratio == "64:51"


def add_to_sample_entry(path: Path, box: bytes) -> None:
    """Put a box at the end of the sample entry of an MP4 whose tables lie behind its pictures."""
    data = bytearray(path.read_bytes())
    start = 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        start = data.index(name, start) - 4
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(box))
    data[start + size : start + size] = box
    path.write_bytes(data)


def test_a_clean_aperture_is_not_applied(tmp_path: Path) -> None:
    path = encode(tmp_path / "aperture.mp4", "libx264", count=COUNT, options=X264)
    add_to_sample_entry(path, struct.pack(">I4s8i", 40, b"clap", WIDTH - 16, 1, HEIGHT - 8, 1, 0, 1, 0, 1))
    extraction = assert_same_as_straight(path)
    assert (extraction.info.width, extraction.info.height) == (WIDTH, HEIGHT)
    assert extraction.pixels[0].shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lie_about(b"stts", 8, 0x7FFFFFFF), id="two billion samples"),
        pytest.param(lie_about(b"mdhd", 16, 0xFFFFFFF0), id="a duration of years"),
        pytest.param(lie_about(b"mdhd", 16, 1), id="a duration of one tick"),
        pytest.param(lie_about(b"mvhd", 16, 0x7FFFFFFF), id="a longer movie"),
        pytest.param(lie_about(b"tkhd", 76, 1), id="a width of nothing"),
        pytest.param(lie_about(b"stts", 12, 0x7FFFFFFF), id="a frame that lasts for days"),
    ],
)
def test_headers_that_lie_cost_nothing(lie: Callable[[Path], None], tmp_path: Path) -> None:
    path = encode(tmp_path / "lie.mp4", "mpeg4", count=COUNT, options={"g": "12", "bf": "0", "b": "800k"})
    lie(path)
    extraction = extract(path)
    reference = straight(path)
    shown = {read_number(picture) for picture in reference.frames}
    assert {number for clip in sampled_numbers(extraction) for number in clip} <= shown
    assert spread(extraction)[0] == 0
