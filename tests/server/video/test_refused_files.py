"""Files that are no video, or none that is accepted: each gets its own error."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from uuid import UUID

import av
import pytest

from laps_server.errors import NoVideoStream, TooManyStreams, UnsupportedCodec, UnsupportedContainer, VideoCorrupt
from laps_server.video.accepted_formats import CodecSet
from support.asf_objects import (
    ADVANCED_CONTENT_ENCRYPTION,
    CONTENT_ENCRYPTION,
    HEADER_EXTENSION,
    add_to_asf_header,
    asf_object,
)
from support.numbered_videos import encode, extract, ffmpeg, patch_bytes


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
