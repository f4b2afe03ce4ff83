"""Every row of inputs that nobody should send, with what it is answered; the ids are those of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from support.hostile_files import cut, huge_gif, lie_about, multipart, say_streams, set_matrix
from support.numbered_videos import HEIGHT, WIDTH, encode, ffmpeg, numbered, patch_bytes, repeat
from support.right_answer import Film

COUNT = 100
X264 = {"preset": "veryfast", "g": "20", "keyint_min": "20", "sc_threshold": "0", "bf": "3", "b_strategy": "0"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:pools=1:frame-threads=1"}
MILLISECOND = Fraction(1, 1000)
FORM = "multipart/form-data; boundary=b"
FIELD_FILES = Path(__file__).parents[1] / "data" / "field"

Make = Callable[[Path], Path]
"""Writes a file into a folder."""
Answer = tuple[int, str]
"""A status and a code."""

STEADY = Film.at_rate(COUNT)


@dataclass(frozen=True, slots=True)
class BadBody:
    """A body that holds no file that is looked at."""

    body: bytes
    answer: Answer
    content_type: str | None = FORM


@dataclass(frozen=True, slots=True)
class RightFilm:
    """A film that is unusual and right: what writes it, and what it shows."""

    make: Make
    film: Film = STEADY


def good(folder: Path, name: str = "good.mp4", **options: str) -> Path:
    """Numbered frames that nothing is wrong with, its tables behind its pictures."""
    return encode(folder / name, "libx264", count=COUNT, options=X264 | options)


def _written(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _converted(name: str, *arguments: str) -> Make:
    def make(folder: Path) -> Path:
        ffmpeg("-i", good(folder, "source.mp4"), *arguments, folder / name)
        return folder / name

    return make


def _damaged(damage: Callable[[Path], object]) -> Make:
    def make(folder: Path) -> Path:
        path = good(folder)
        damage(path)
        return path

    return make


def _encoded(name: str, codec: str, **arguments: object) -> Make:
    def make(folder: Path) -> Path:
        return encode(folder / name, codec, **{"count": COUNT, "options": X264, **arguments})  # type: ignore[arg-type]

    return make


def _giant(name: str, *arguments: str) -> Make:
    def make(folder: Path) -> Path:
        ffmpeg("-f", "lavfi", "-i", "color=s=8192x8192:r=10", "-frames:v", "1", *arguments, folder / name)
        return folder / name

    return make


# Bodies ---------------------------------------------------------------------------------------------

BAD_BODIES: Mapping[str, BadBody] = {
    "no-boundary": BadBody(b"x", (400, "bad_multipart"), "multipart/form-data"),
    "no-multipart": BadBody(b"not multipart at all", (400, "bad_multipart")),
    "header-flood": BadBody(
        b"--b\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(1000)) + b"\r\n", (400, "bad_multipart")
    ),
    "two-files": BadBody(multipart(("file", "a", b"x"), ("file", "b", b"y")), (400, "too_many_files")),
    "no-file": BadBody(b"--b--\r\n", (422, "file_missing")),
    "no-body": BadBody(b"", (422, "file_missing"), None),
    "wrong-field": BadBody(multipart(("video", "a.mp4", b"x")), (422, "file_missing")),
    "truncated-multipart": BadBody(multipart(("file", "a", b"x"), end=False), (422, "file_missing")),
    "zero-bytes": BadBody(b"", (415, "unsupported_container"), "video/mp4"),
    "zero-bytes-in-a-form": BadBody(multipart(("file", "a.mp4", b"")), (415, "unsupported_container")),
}


# Files that are refused -----------------------------------------------------------------------------


def _audio(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "sine=d=2", folder / "sound.mp4")
    return folder / "sound.mp4"


def _cover(folder: Path) -> Path:
    ffmpeg("-i", good(folder), "-frames:v", "1", folder / "cover.jpg")
    sound = ("-f", "lavfi", "-i", "sine=d=2", "-i", folder / "cover.jpg", "-map", "0", "-map", "1")
    ffmpeg(*sound, "-c:v", "mjpeg", "-disposition:v", "attached_pic", folder / "cover.mp4")
    return folder / "cover.mp4"


def _encrypted(folder: Path) -> Path:
    ffmpeg(
        *("-i", good(folder), "-c", "copy", "-encryption_scheme", "cenc-aes-ctr"),
        *("-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"),
        *("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", folder / "locked.mp4"),
    )
    return folder / "locked.mp4"


def _cut_in_first_frame(folder: Path) -> Path:
    path = encode(folder / "cut.mp4", "libx264", count=COUNT, options=X264, muxer_options={"movflags": "faststart"})
    return cut(path, path.read_bytes().index(b"mdat") + 60)


def _many_streams(folder: Path) -> Path:
    with av.open(str(folder / "many.mkv"), "w") as out:
        for _ in range(1000):
            sound = out.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), layout="mono")
        silence.sample_rate = 8000
        out.mux(sound.encode(silence))
    return folder / "many.mkv"


BAD_FILES: Mapping[str, tuple[Make, Answer]] = {
    "random-bytes": (
        _written("random.mp4", bytes((i * 7919 + i // 251) % 256 for i in range(50_000))),
        (415, "unsupported_container"),
    ),
    "text": (_written("text.mp4", b"not a video at all\n" * 1000), (415, "unsupported_container")),
    "png": (_converted("one.png", "-frames:v", "1"), (415, "unsupported_container")),
    "apng": (_converted("moving.apng", "-frames:v", "9"), (415, "unsupported_container")),
    "animated-webp": (
        _converted("moving.webp", "-c:v", "libwebp_anim", "-frames:v", "9"),
        (415, "unsupported_container"),
    ),
    "audio-only": (_audio, (422, "no_video_stream")),
    "cover-art-only": (_cover, (422, "no_video_stream")),
    "unlisted-codec": (_converted("rle.mov", "-c:v", "qtrle", "-frames:v", "9"), (415, "unsupported_codec")),
    "unknown-codec": (
        _damaged(lambda path: patch_bytes(path, b"avc1", b"zzzz", occurrence=1)),
        (415, "unsupported_codec"),
    ),
    "encrypted": (_encrypted, (422, "video_corrupt")),
    "no-moov": (_damaged(lambda path: cut(path, path.stat().st_size * 6 // 10)), (422, "video_corrupt")),
    "cut-in-first-frame": (_cut_in_first_frame, (422, "video_corrupt")),
    "gif-of-16000": (lambda folder: huge_gif(folder / "bomb.gif", 16_000), (422, "resolution_too_large")),
    "h264-of-8192": (_giant("bomb.mp4", "-c:v", "libx264", "-preset", "ultrafast"), (422, "resolution_too_large")),
    "mjpeg-of-8192": (_giant("bomb.avi", "-c:v", "mjpeg"), (422, "resolution_too_large")),
    "streams-1000": (_many_streams, (422, "too_many_streams")),
    "streams-1000-mp4": (_damaged(lambda path: say_streams(path, 1000)), (422, "video_corrupt")),  # FFmpeg stops there
}


# Files that lie, or go on for long: 200 or 422 ------------------------------------------------------


def long_film(folder: Path, *, times_over: int = 2000) -> Path:
    """Two seconds of fifty frames, over and over: 100,000 of them if not said otherwise."""
    fifty = encode(folder / "fifty.mp4", "libx264", count=50, options={"preset": "ultrafast", "bf": "0"}, size=(48, 32))
    return repeat(fifty, folder / "long.mp4", times_over)


def _zeroed_sizes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = data.index(b"stsz") + 4 + 12
    data[start : start + 4 * COUNT] = b"\x7f\xff\xff\xff" * COUNT
    path.write_bytes(data)


BOUNDED_FILES: Mapping[str, Make] = {
    "frames-100k": long_film,
    "lying-stts": _damaged(lie_about(b"stts", 8, 0x7FFFFFFF)),
    "lying-stts-durations": _damaged(lie_about(b"stts", 12, 0x7FFFFFFF)),
    "lying-stsz": _damaged(lie_about(b"stsz", 8, 0x7FFFFFFF)),
    "lying-stsz-sizes": _damaged(_zeroed_sizes),
    "lying-duration": _damaged(lie_about(b"mdhd", 16, 0xFFFFFFF0)),
    "lying-dimensions": _damaged(lie_about(b"tkhd", 76, 0x7FFF0000)),
    "lying-sample-entry": _damaged(lie_about(b"avc1", 24, 0x7FFF7FFF)),
}


# Films that are unusual and right -------------------------------------------------------------------


def _turned(folder: Path) -> Path:
    def lying(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.rot90(numbered(number))  # the player turns it back

    size = (HEIGHT, WIDTH)
    path = encode(folder / "turned.mp4", "libx264", count=COUNT, options=X264, size=size, draw=lying)
    return set_matrix(path, (0, 1, -1, 0))


def _size_changes(folder: Path) -> Path:
    small = encode(folder / "small.ts", "libx264", count=60, options=X264 | {"bf": "0"})
    large = encode(
        folder / "large.ts",
        "libx264",
        count=60,
        options=X264 | {"bf": "0"},
        size=(2 * WIDTH, 2 * HEIGHT),
        pts_of=lambda number: 60 + number,
        draw=lambda number: numbered(60 + number, 2 * WIDTH, 2 * HEIGHT),
    )
    with av.open(str(folder / "both.ts"), "w") as out, av.open(str(small)) as first, av.open(str(large)) as second:
        stream = out.add_stream_from_template(first.streams.video[0])
        for source in (first, second):
            for packet in source.demux(video=0):
                if packet.pts is not None:
                    packet.stream = stream
                    out.mux(packet)
    return folder / "both.ts"


def _uneven(number: int) -> int:
    """Milliseconds of a clock that comes late now and then."""
    return number * 40 + number % 3 * 9


def _after_a_month(number: int) -> int:
    return number if number < 50 else number + 30 * 24 * 3600 * 25


def _of_clock(clock: Callable[[int], int], unit_s: Fraction | float) -> Film:
    times = [(clock(number) - clock(0)) * float(unit_s) for number in range(COUNT)]
    return Film(tuple(range(COUNT)), tuple(times), even=False)


def _edited(folder: Path) -> Path:
    ffmpeg("-ss", "1.30", "-i", good(folder, "source.mp4"), "-c", "copy", folder / "edited.mp4")
    return folder / "edited.mp4"


def _bad_title(folder: Path) -> Path:
    path = encode(folder / "title.mp4", "libx264", count=COUNT, options=X264, metadata={"title": "TITLE!"})
    patch_bytes(path, b"TITLE!", b"\xff\xfe\xe9\x80\xc3\x28")
    return path


RIGHT_FILMS: Mapping[str, RightFilm] = {
    "month-long-gap": RightFilm(_encoded("gap.mkv", "libx264", pts_of=_after_a_month), _of_clock(_after_a_month, 0.04)),
    "resolution-change": RightFilm(_size_changes, Film.at_rate(120)),
    "rotation-90": RightFilm(_turned),
    "10-bit": RightFilm(_encoded("10bit.mp4", "libx265", options=X265, pix_fmt="yuv420p10le")),
    "4-4-4": RightFilm(_encoded("444.mp4", "libx264", pix_fmt="yuv444p")),
    "gray": RightFilm(_encoded("gray.mp4", "libx264", pix_fmt="gray")),
    "interlaced": RightFilm(
        _encoded("fields.mp4", "libx264", options={**X264, "flags": "+ilme+ildct", "x264-params": "tff=1"})
    ),
    "variable-rate": RightFilm(
        _encoded("vfr.mp4", "libx264", pts_of=_uneven, time_base=MILLISECOND), _of_clock(_uneven, MILLISECOND)
    ),
    "pts-none": RightFilm(lambda _: FIELD_FILES / "packed_b_frames.avi", Film.at_rate(150)),
    "pts-negative": RightFilm(
        _encoded(
            "negative.mov",
            "libx264",
            pts_of=lambda number: (number - 10) * 40,
            time_base=MILLISECOND,
            muxer_options={"movflags": "negative_cts_offsets", "use_editlist": "0", "avoid_negative_ts": "disabled"},
        )
    ),
    "edit-list": RightFilm(_edited, Film.at_rate(67, first=33)),
    "fragmented-mp4": RightFilm(
        _encoded("fragments.mp4", "libx264", muxer_options={"movflags": "frag_keyframe+empty_moov"})
    ),
    "90k-fps": RightFilm(
        _encoded("fast.mp4", "libx264", pts_of=lambda n: n, time_base=Fraction(1, 90_000), rate=90_000),
        Film.at_rate(COUNT, rate=90_000),
    ),
    "bad-utf8-metadata": RightFilm(_bad_title),
}


def cut_at_60_percent(folder: Path) -> Path:
    """A film whose tables are in front, and whose last pictures are missing."""
    path = encode(folder / "cut.mp4", "libx264", count=COUNT, options=X264, muxer_options={"movflags": "faststart"})
    return cut(path, path.stat().st_size * 6 // 10)
