"""Files that are no video, or a video meant to hurt: each gets its own error and opens nothing."""

from __future__ import annotations

import json
import shutil
import socketserver
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock
from uuid import UUID

import av
import numpy as np
import pytest

from laps_server.errors import (
    ClientClosed,
    MediaError,
    NoVideoStream,
    ResolutionTooLarge,
    TooManyStreams,
    UnsupportedCodec,
    UnsupportedContainer,
    VideoCorrupt,
)
from laps_server.video import index_planner, sampler
from laps_server.video.accepted_formats import ACCEPTED, AcceptedFormats, CodecSet
from laps_server.video.av_file.stream_headers import StreamHeaders
from laps_server.video.limits import MediaLimits
from laps_server.video.timestamps import TimestampsUnreliable
from support.numbered_videos import encode, extract, ffmpeg, patch_bytes

X264 = {"preset": "veryfast", "g": "20", "bf": "3"}
NTSC = Fraction(30_000, 1001)
FAST_START = {"movflags": "faststart"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    return encode(path, "libx264", count=150, options=X264, muxer_options=FAST_START)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("one_byte.mp4", b"a"),
        ("random.mp4", bytes((i * 7919 + i // 251) % 256 for i in range(50_000))),
        ("text.mp4", b"not a video at all\n" * 1000),
        ("page.mp4", b"<!doctype html><html><body>404</body></html>"),
        ("archive.mp4", b"PK\x03\x04" + bytes(1000)),
    ],
)
def test_other_files_are_no_container(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnsupportedContainer):
        extract(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("one.png", "png"), ("moving.apng", "apng"), ("moving.webp", "libwebp_anim"), ("raw.h264", "libx264")],
)
def test_pictures_and_bare_streams_are_no_container(name: str, codec: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-i", good, "-frames:v", "1" if codec == "png" else "20", "-c:v", codec, path)
    with pytest.raises(UnsupportedContainer) as refusal:
        extract(path)
    assert isinstance(refusal.value.__cause__, av.FFmpegError)  # before its demuxer saw the file, not after


@pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv", "sound.ogg", "sound.ts"])
def test_sound_alone_is_no_video(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", "sine=d=2", path)
    with pytest.raises(NoVideoStream):
        extract(path)


@pytest.mark.parametrize(("name", "codec"), [("cover.m4a", "png"), ("cover.mp4", "mjpeg"), ("cover.mkv", "mjpeg")])
def test_cover_art_is_no_video(name: str, codec: str, good: Path, tmp_path: Path) -> None:
    picture = tmp_path / "cover.jpg"
    ffmpeg("-i", good, "-frames:v", "1", picture)
    path = tmp_path / name
    sound = ["-f", "lavfi", "-i", "sine=d=2"]
    if name.endswith("mkv"):
        ffmpeg(*sound, "-attach", picture, "-metadata:s:t", "mimetype=image/jpeg", path)
    else:
        ffmpeg(*sound, "-i", picture, "-map", "0", "-map", "1", "-c:v", codec, "-disposition:v", "attached_pic", path)
    with pytest.raises(NoVideoStream):
        extract(path)


@pytest.mark.parametrize(
    ("name", "codec", "codecs", "words"),
    [
        ("a.mov", "qtrle", "standard", "codec qtrle (QuickTime Animation (RLE) video) is not on the list"),
        ("a.mkv", "png", "wide", "codec png (PNG (Portable Network Graphics) image) is not on the list"),
        ("a.flv", "flashsv", "wide", "codec flashsv (Flash Screen Video v1) is not on the list"),
        ("a.avi", "cinepak", "wide", "codec cinepak (Cinepak) is not on the list"),
        ("a.flv", "flv", "standard", "codec flv1 (FLV / Sorenson Spark / Sorenson H.263 (Flash Video)) is not on"),
        ("a.avi", "wmv2", "standard", "codec wmv2 (Windows Media Video 8) is not on the list"),
    ],
)
def test_a_codec_that_is_not_listed_is_named_with_what_would_help(
    name: str, codec: str, codecs: CodecSet, words: str, good: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    ffmpeg("-i", good, "-c:v", codec, "-t", "1", path)
    with pytest.raises(UnsupportedCodec) as refusal:
        extract(path, codecs=codecs)
    assert refusal.value.message.startswith(words)
    assert "ffmpeg -i IN -c:v libx264 OUT.mp4" in str(refusal.value.hint)
    assert ("LAPS_CODECS=wide" in str(refusal.value.hint)) == (codec in ("flv", "wmv2"))


@pytest.mark.parametrize(
    ("name", "arguments", "found", "wide_helps"),
    [
        ("a.wmv", ("-c:v", "wmv2"), "asf (Windows Media)", True),
        ("pal.dv", ("-s", "720x576", "-pix_fmt", "yuv420p"), "dv (raw DV)", True),
        ("ntsc.dv", ("-s", "720x480", "-r", "30000/1001", "-pix_fmt", "yuv411p"), "dv (raw DV)", True),
        ("a.mxf", ("-c:v", "mpeg2video"), "mxf (MXF)", False),
        ("a.rm", ("-c:v", "rv20", "-s", "176x144"), "rm (RealMedia)", False),
        ("a.ivf", ("-c:v", "libvpx", "-threads", "1"), "ivf (IVF)", False),
        ("a.y4m", (), "yuv4mpegpipe (YUV4MPEG2)", False),
        ("a.wtv", ("-c:v", "mpeg2video"), "wtv (Windows recorded TV)", False),
    ],
)
def test_a_container_that_is_not_listed_is_named_without_opening_it(
    name: str, arguments: tuple[str, ...], found: str, wide_helps: bool, good: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    ffmpeg("-i", good, "-t", "1", *arguments, path)
    renamed = path.rename(tmp_path / "renamed.mp4")
    with pytest.raises(UnsupportedContainer) as refusal:
        extract(renamed)
    assert isinstance(refusal.value.__cause__, av.FFmpegError)  # before its demuxer saw the file, not after
    assert refusal.value.message == f"container {found} is not on the list"
    assert "ffmpeg -i IN" in str(refusal.value.hint)
    assert ("LAPS_CODECS=wide" in str(refusal.value.hint)) == wide_helps
    if wide_helps:
        assert extract(renamed, codecs="wide").info.container == found.split(maxsplit=1)[0]


@pytest.mark.parametrize(("codecs", "last"), [("standard", "Ogg or GIF"), ("wide", "Windows Media or raw DV")])
def test_what_is_no_video_is_told_the_containers_of_the_setting(codecs: CodecSet, last: str, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_bytes(b"not a video at all\n" * 1000)
    with pytest.raises(UnsupportedContainer) as refusal:
        extract(path, codecs=codecs)
    assert str(refusal.value.hint).startswith("send MP4, MOV, 3GP, MKV, WebM, AVI")
    assert str(refusal.value.hint).endswith(last)


def test_a_codec_that_nobody_knows(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "unknown.mp4"
    shutil.copy(good, path)
    patch_bytes(path, b"avc1", b"zzzz", occurrence=1)  # the first is a brand
    with pytest.raises(UnsupportedCodec, match="no decoder knows"):
        extract(path)


def test_an_encrypted_video_is_corrupt(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    ffmpeg(
        *("-i", good, "-c", "copy", "-encryption_scheme", "cenc-aes-ctr"),
        *("-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"),
        *("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", path),
    )
    with pytest.raises(VideoCorrupt):
        extract(path)


ASF_HEADER = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c")
CONTENT_ENCRYPTION = UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e")
ADVANCED_CONTENT_ENCRYPTION = UUID("43058533-6981-49e6-9b74-ad12cb86d58c")
HEADER_EXTENSION = UUID("5fbf03b5-a92e-11cf-8ee3-00c00c205365")
SCRIPT_COMMAND = UUID("1efb1a30-0b62-11d0-a39b-00a0c90348f6")


def asf_object(name: UUID, content: bytes) -> bytes:
    return name.bytes_le + struct.pack("<Q", 24 + len(content)) + content


def add_to_asf_header(path: Path, addition: bytes) -> None:
    """Put an object in front of the others in an ASF file's header."""
    data = path.read_bytes()
    length, count = struct.unpack_from("<QI", data, 16)
    path.write_bytes(
        data[:16] + struct.pack("<QI", length + len(addition), count + 1) + data[28:30] + addition + data[30:]
    )


@pytest.mark.parametrize("name", [CONTENT_ENCRYPTION, ADVANCED_CONTENT_ENCRYPTION], ids=["header", "extension"])
def test_a_protected_windows_media_file_is_corrupt(name: UUID, tmp_path: Path) -> None:
    path = encode(tmp_path / "locked.wmv", "wmv2", count=50)
    assert extract(path, codecs="wide").info.codec == "wmv2"
    addition = asf_object(name, bytes(16))
    if name == ADVANCED_CONTENT_ENCRYPTION:
        addition = asf_object(HEADER_EXTENSION, bytes(18) + struct.pack("<I", len(addition)) + addition)
    add_to_asf_header(path, addition)
    with pytest.raises(VideoCorrupt, match="encrypted"):
        extract(path, codecs="wide")


@pytest.mark.parametrize("count", [17, 40])
def test_too_many_streams(count: int, tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    sources = [part for _ in range(count) for part in ("-f", "lavfi", "-i", "sine=d=0.1")]
    maps = [part for i in range(count) for part in ("-map", str(i))]
    ffmpeg(*sources, *maps, path)
    with pytest.raises(TooManyStreams):
        extract(path)


# Cut files ---------------------------------------------------------------------------------------------

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


# Giants ------------------------------------------------------------------------------------------------

MEASURE = """
import json, sys
from laps_server.errors import LapsError
sys.path.insert(0, sys.argv[1])
import os
from laps_server.video.extract import extract_parts
from laps_server.video.limits import MediaLimits
from support.numbered_videos import extract_options, peak_kib
options = json.loads(sys.argv[3])
file, limits = os.open(sys.argv[2], os.O_RDONLY), MediaLimits(codecs=options.pop("codecs", "standard"))
before = peak_kib()
try:
    for part in extract_parts(file, extract_options(**options), limits=limits):
        del part
    code = "ok"
except LapsError as error:
    code = error.code
print(json.dumps([code, (peak_kib() - before) // 1024]))
"""
TESTS = Path(__file__).parents[2]
BLACK_ROW = np.zeros((8, 4096, 3), dtype=np.uint8)


def measure(path: Path, **options: str | int) -> tuple[str, int]:
    """Extract in a process of its own: the error's code or "ok", and by how many MiB its memory grew at most."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(TESTS), str(path), json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, grown_mib = json.loads(run.stdout)
    return code, grown_mib


def huge_gif(path: Path, side: int) -> None:
    edge = side.to_bytes(2, "little") * 2
    path.write_bytes(
        b"GIF89a"
        + edge
        + b"\x80\x00\x00\x00\x00\x00\xff\xff\xff"
        + b","
        + bytes(4)
        + edge
        + b"\x00\x02\x02\x4c\x01\x00;"
    )


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("bomb.gif", None),
        ("bomb.mp4", "libx264"),
        ("bomb.mkv", "libx264"),
        ("bomb.ts", "libx264"),
        ("bomb.avi", "mjpeg"),
        ("bomb.mov", "mjpeg"),
        ("bomb.webm", "libvpx"),
        ("bomb.mkv", "ffv1"),
        ("bomb_prores.mov", "prores_ks"),
        ("bomb.wmv", "wmv2"),
    ],
)
def test_giant_pictures_are_refused_before_they_take_memory(name: str, codec: str | None, tmp_path: Path) -> None:
    path = tmp_path / name
    if codec is None:
        huge_gif(path, 16_000)
    else:
        side = 6000 if codec in ("libvpx", "ffv1", "prores_ks") else 8192
        options = {
            "libx264": ["-preset", "ultrafast"],
            "libvpx": ["-cpu-used", "8", "-deadline", "realtime"],
        }
        ffmpeg(
            *("-f", "lavfi", "-i", f"color=s={side}x{side}:r=10", "-frames:v", "1", "-c:v", codec),
            *options.get(codec, []),
            path,
        )
    code, grown_mib = measure(path, codecs="wide")
    assert code == "resolution_too_large"
    assert grown_mib < 60


@pytest.mark.parametrize(
    ("name", "codec"), [("raw.avi", "rawvideo"), ("raw.mkv", "rawvideo"), ("packed.avi", "huffyuv")]
)
def test_giant_pictures_that_are_hardly_packed_cost_what_their_file_does(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg(
        *("-f", "lavfi", "-i", "color=s=6000x6000:r=10", "-frames:v", "1"), "-pix_fmt", "yuv422p", "-c:v", codec, path
    )
    code, grown_mib = measure(path, codecs="wide")
    assert code == "resolution_too_large"
    assert grown_mib < 60 + 2 * path.stat().st_size // 2**20


def strip(path: Path, width: int) -> Path:
    return encode(path, "mjpeg", count=70, size=(width, 8), pix_fmt="yuvj444p", draw=lambda _: BLACK_ROW[:, :width])


def test_a_strip_that_would_become_a_gigabyte_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    code, grown_mib = measure(strip(tmp_path / "strip.mkv", 4096), views="5x3", frames=8, stride=8, side=224)
    assert code == "resolution_too_large"
    assert grown_mib < 60


def test_of_an_elongated_video_only_the_crops_are_kept(tmp_path: Path) -> None:
    path = strip(tmp_path / "long.mkv", 256)  # the longest shape that is taken; 63 resized frames hold 289 MiB
    code, grown_mib = measure(path, views="64x3", frames=8, stride=1, side=224)
    assert code == "ok"
    assert grown_mib < 90


def test_elongated_pictures_are_taken_up_to_a_limit(tmp_path: Path) -> None:
    assert extract(strip(tmp_path / "long.mkv", 256), side=8).info.width == 256
    with pytest.raises(ResolutionTooLarge, match="258x8") as refusal:
        extract(strip(tmp_path / "longer.mkv", 258), side=8)
    assert "32 times" in str(refusal.value.hint)


def test_frames_that_no_later_clip_uses_make_room(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", "libx264", count=400, options=X264)
    sampled = extract(path, views="20x1")
    three_clips = 3 * 4 * 96 * 64 * 3
    assert sum(pixels.nbytes for pixels in sampled.pixels) > 5 * three_clips
    limits = MediaLimits(max_kept_bytes=2 * 2 * three_clips)
    assert extract(path, views="20x1", limits=limits).frames == sampled.frames


def test_frames_that_are_kept_at_once_are_bounded(good: Path) -> None:
    one = 96 * 64 * 3
    most = max(len(part.frames) for part in extract(good, views="1x1", frames=8).parts)
    assert extract(good, views="1x1", frames=8, limits=MediaLimits(max_kept_bytes=2 * most * one)).frames
    with pytest.raises(ResolutionTooLarge, match="1x1") as refusal:
        extract(good, views="1x1", frames=8, limits=MediaLimits(max_kept_bytes=2 * most * one - 1))
    assert "fewer views" in str(refusal.value.hint)


def test_frames_that_a_false_start_left_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong guess of the number of frames: those fetched by it make room for those of the right one."""
    path = encode(tmp_path / "counted.ts", "libx264", count=120, options=X264)
    monkeypatch.setattr(sampler, "walk_packets", Mock(side_effect=TimestampsUnreliable("a test", packets=70)))
    batch = extract(path)
    limits = MediaLimits(max_kept_bytes=2 * sum(pixels.nbytes for pixels in batch.pixels))
    assert extract(path, limits=limits).frames == batch.frames


def test_a_strip_that_would_be_resized_to_a_giant_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "strip.avi", "mjpeg", count=2, size=(4096, 2), pix_fmt="yuvj444p")
    with pytest.raises(ResolutionTooLarge):
        extract(path, side=224)


def test_the_pixel_limit_is_the_callers(good: Path) -> None:
    assert extract(good, limits=MediaLimits(max_pixels=128 * 64)).info.width == 96
    with pytest.raises(ResolutionTooLarge):
        extract(good, limits=MediaLimits(max_pixels=96 * 64 - 1))


# Numbers beyond reason -----------------------------------------------------------------------------------


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
    monkeypatch.setattr(index_planner, "time_windows", Mock(side_effect=trouble))
    with pytest.raises(VideoCorrupt, match="impossible numbers") as damage:
        extract(good)
    assert damage.value.__cause__ is trouble


@pytest.mark.parametrize("trouble", [ClientClosed("gone"), NoVideoStream("none"), TypeError("a defect")], ids=repr)
def test_other_errors_stay_what_they_are(trouble: Exception, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_planner, "time_windows", Mock(side_effect=trouble))
    with pytest.raises(type(trouble)) as raised:
        extract(good)
    assert raised.value is trouble


# References to elsewhere -------------------------------------------------------------------------------

REFERENCES = {
    "hls": (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n"
        "#EXTINF:10,\n{url}/a.ts\n#EXTINF:10,\n{file}\n#EXT-X-ENDLIST\n"
    ),
    "ffconcat": "ffconcat version 1.0\nfile {file}\nfile {url}/a.mp4\n",
    "sdp": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 54321 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}/a.mp4</BaseURL>'
        '<SegmentList duration="9"><SegmentURL media="{url}/b.mp4"/></SegmentList>'
        "</Representation></AdaptationSet></Period></MPD>"
    ),
    "asx": '<asx version="3.0"><entry><ref href="rtsp://127.0.0.1:{port}/x"/><ref href="{url}/x"/></entry></asx>',
    "rtsp": "[Reference]\nRef1=rtsp://127.0.0.1:{port}/x\n",
    "asf": "ASF {url}/x.asf\n",
    "nsc": "[Address]\nName=x\nMulticast Adapter=\nIP Address=127.0.0.1\nIP Port={port}\nUnicast URL={url}/x.asf\n",
}


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A server on this machine that must hear nothing."""
    heard: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(1024))

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1], heard
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("codecs", ["standard", "wide"])
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".txt", ".asx", ".wmv"])
@pytest.mark.parametrize("kind", sorted(REFERENCES))
def test_playlists_are_no_container_and_open_nothing(
    kind: str, suffix: str, codecs: CodecSet, good: Path, tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    port, heard = listener
    shutil.copy(good, tmp_path / "sentinel.mp4")
    path = tmp_path / f"reference{suffix}"
    path.write_text(REFERENCES[kind].format(url=f"http://127.0.0.1:{port}", file="sentinel.mp4", port=port))
    with pytest.raises(UnsupportedContainer):
        extract(path, codecs=codecs)
    assert heard == []


@pytest.mark.parametrize("kind", sorted(REFERENCES))
def test_playlists_behind_a_windows_media_signature_open_nothing(
    kind: str, tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    port, heard = listener
    text = REFERENCES[kind].format(url=f"http://127.0.0.1:{port}", file="sentinel.mp4", port=port)
    path = tmp_path / "reference.wmv"
    path.write_bytes(ASF_HEADER.bytes_le + text.encode() + bytes(4096))
    with pytest.raises(UnsupportedContainer, match="asf"):
        extract(path)
    with pytest.raises(VideoCorrupt):
        extract(path, codecs="wide")
    assert heard == []


def test_an_address_that_a_windows_media_file_says_to_open_is_not(
    tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    """A script command tells a player to open a page at the first frame; the video is decoded all the same."""
    port, heard = listener
    kind, url = "URL".encode("utf-16-le"), f"http://127.0.0.1:{port}/x".encode("utf-16-le")
    command = struct.pack("<IHH", 0, 0, len(url) // 2) + url
    path = encode(tmp_path / "script.wmv", "wmv2", count=50)
    kinds = struct.pack("<HHH", 1, 1, len(kind) // 2) + kind
    add_to_asf_header(path, asf_object(SCRIPT_COMMAND, bytes(16) + kinds + command))
    assert extract(path, codecs="wide").warnings == ()
    assert heard == []


def test_no_file_is_opened_even_where_a_playlist_is_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol list holds by itself: here the format list lets a playlist in."""
    accepted = ACCEPTED["standard"]
    open_to_lists = AcceptedFormats({**accepted.containers, "concat": "concat"}, accepted.decoders)
    monkeypatch.setitem(ACCEPTED, "standard", open_to_lists)
    monkeypatch.chdir(tmp_path)
    shutil.copy(good, "sentinel.mp4")
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile sentinel.mp4\n")
    with pytest.raises(UnsupportedContainer):
        extract(path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_playlists_make_no_system_call_for_a_socket_or_a_file(good: Path, tmp_path: Path) -> None:
    shutil.copy(good, tmp_path / "sentinel.mp4")
    paths = []
    for kind, text in REFERENCES.items():
        path = tmp_path / f"{kind}.mp4"
        path.write_text(text.format(url="http://127.0.0.1:9", file="sentinel.mp4", port=9))
        paths.append(str(path))
    script = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from pathlib import Path\nfrom laps_server.errors import UnsupportedContainer\n"
        "from support.numbered_videos import extract\n"
        "refused = 0\n"
        "for name in sys.argv[1:]:\n"
        "    for codecs in ('standard', 'wide'):\n"
        "        try:\n            extract(Path(name), codecs=codecs)\n"
        "        except UnsupportedContainer:\n            refused += 1\n"
        "print(refused)\n"
    )
    log = tmp_path / "calls"
    command = ["strace", "-f", "-e", "trace=openat,open,socket,connect,bind", "-o", str(log)]
    run = subprocess.run(
        [*command, sys.executable, "-c", script, *paths], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    if not log.exists() or "ptrace" in run.stderr:
        pytest.skip("strace may not trace here")
    assert run.stdout.strip() == str(2 * len(paths)), run.stderr
    calls = log.read_text().splitlines()
    assert any(Path(paths[0]).name in call for call in calls)
    assert [call for call in calls if "sentinel" in call or "AF_INET" in call or "connect(" in call] == []
