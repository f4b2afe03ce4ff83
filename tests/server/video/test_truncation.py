"""Whether a file was cut off: nearly at every length, and never for what lies behind its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from laps_server.video.truncation import has_media_after, is_truncated
from support.numbered_videos import encode, extract, ffmpeg

COUNT = 60
UNSEEN_SHARE = 0.03  # a cut between two packets, or within a few bytes of one, looks like an end
FRAGMENTS = (("movflags", "frag_keyframe+empty_moov+default_base_moof"),)


class WrittenFormat(NamedTuple):
    """One way to write a file."""

    container: str
    name: str
    codec: str = "mpeg4"
    muxer_options: tuple[tuple[str, str], ...] = ()
    pix_fmt: str = "yuv420p"


FORMATS = [
    WrittenFormat("mp4", "first.mp4", muxer_options=(("movflags", "+faststart"),)),
    WrittenFormat("mp4", "fragments.mp4", muxer_options=FRAGMENTS),
    WrittenFormat("matroska", "a.mkv"),
    WrittenFormat("matroska", "a.webm", "libvpx"),
    WrittenFormat("flv", "a.flv", "flv"),
    WrittenFormat("avi", "a.avi"),
    WrittenFormat("mpegts", "a.ts", "mpeg2video"),
    WrittenFormat("mpegps", "a.mpg", "mpeg1video"),
    WrittenFormat("ogg", "a.ogv", "libtheora"),
    WrittenFormat("gif", "a.gif", "gif", pix_fmt="rgb8"),
]
IDS = [form.name for form in FORMATS]
BEHIND = {
    "nothing": b"",
    "a newline": b"\n",
    "text": b"thank you; come again\n" * 20,
    "zeros": bytes(1000),
    "many zeros": bytes(300_000),
    "ones": b"\xff" * 5000,
    "a tag": b"TAG" + b"Title".ljust(125, b"\x00"),
    "noise": bytes((step * step * 7919 >> 5) % 251 for step in range(5000)),
}


@pytest.fixture(scope="module")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[WrittenFormat], bytes]:
    """The file of a format, written once."""

    @cache
    def written(form: WrittenFormat) -> bytes:
        return write(form, tmp_path_factory.mktemp("written")).read_bytes()

    return written


def write(form: WrittenFormat, folder: Path) -> Path:
    if form.container == "ogg":  # PyAV comes without the encoder
        source = encode(folder / "source.mp4", "mpeg4", count=COUNT)
        ffmpeg("-i", source, "-c:v", "libtheora", "-q:v", "8", folder / form.name)
        return folder / form.name
    return encode(
        folder / form.name,
        form.codec,
        count=COUNT,
        options={"g": "20", "b": "400k"},
        pix_fmt=form.pix_fmt,
        muxer_options=dict(form.muxer_options),
    )


def is_cut(container: str, data: bytes) -> bool:
    return is_truncated(container, len(data), _reading(data))


def _reading(data: bytes) -> Callable[[int, int], bytes]:
    """As a file is read; a place before its beginning is an error there too."""

    def read(offset: int, size: int) -> bytes:
        if offset < 0:
            raise OSError("before the beginning")
        return data[offset : offset + max(size, 0)]

    return read


@pytest.mark.parametrize("form", FORMATS, ids=IDS)
def test_a_cut_is_seen_nearly_wherever_it_is(form: WrittenFormat, data_of: Callable[[WrittenFormat], bytes]) -> None:
    data = data_of(form)
    assert not is_cut(form.container, data)
    lengths = range(len(data) // 4, len(data) - 1, max(1, len(data) // 300))
    unseen = [length for length in lengths if not is_cut(form.container, data[:length])]
    assert len(unseen) <= len(lengths) * UNSEEN_SHARE


@pytest.mark.parametrize("name", ["live.mkv", "grown.avi"])
def test_a_length_that_was_never_written_says_nothing(name: str, tmp_path: Path) -> None:
    if name == "live.mkv":
        path = encode(tmp_path / name, "mpeg4", count=COUNT, muxer_options={"live": "1"})
        data = path.read_bytes()
    else:
        path = encode(tmp_path / name, "mpeg4", count=COUNT)
        data = path.read_bytes()
        data = data[:4] + bytes(4) + data[8:]
    container = {"live.mkv": "matroska", "grown.avi": "avi"}[name]
    assert not is_cut(container, data)
    assert not is_cut(container, data[: len(data) // 2])


def test_a_cut_in_a_later_gigabyte_of_an_avi_is_seen() -> None:
    first = b"RIFF" + (36).to_bytes(4, "little") + b"AVI " + bytes(32)
    second = b"RIFF" + (36).to_bytes(4, "little") + b"AVIX" + bytes(32)
    assert not is_cut("avi", first + second)
    assert not is_cut("avi", first + second + b"behind")
    assert is_cut("avi", first + second[:-1])


@pytest.mark.parametrize("container", ["mp4", "matroska", "flv", "avi", "mpegts", "mpegps", "ogg", "gif", "asf"])
@pytest.mark.parametrize("data", [b"", b"\x00", bytes(4000), b"\xff" * 4000, b"G" * 4000], ids=len)
def test_nothing_makes_a_check_fail(container: str, data: bytes) -> None:
    assert is_cut(container, data) in (True, False)


@pytest.mark.parametrize("length", [188, 192])
def test_a_transport_stream_that_could_not_be_read_on_goes_on_where_its_packets_do(length: int) -> None:
    packets = (b"\x47" + bytes(length - 1)) * 8
    zeros = bytes(400_000)
    for data, expected in ((zeros, False), (zeros + packets, True), (b"GoGoG" * 200 + zeros, False)):
        read = _reading(data)
        assert has_media_after(0, container="mpegts", size=len(data), read=read) is expected
    assert has_media_after(0, container="mp4", size=10, read=_reading(bytes(10))), "nobody can tell"


@pytest.mark.parametrize("tail", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("form", FORMATS, ids=IDS)
def test_bytes_behind_the_end_are_nothing(
    form: WrittenFormat, tail: bytes, data_of: Callable[[WrittenFormat], bytes], tmp_path: Path
) -> None:
    path = tmp_path / form.name
    path.write_bytes(data_of(form) + tail)
    assert extract(path, codecs="wide").warnings == ()
