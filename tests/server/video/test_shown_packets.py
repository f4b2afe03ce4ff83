"""Which packets show a picture, by their bytes: against the decoder on real streams, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from laps_server.video.shown_packets import shown_packet_test as shows_of_packet
from support.numbered_videos import encode

X264 = {"preset": "veryfast", "g": "20", "bf": "3"}
VP9_HIDDEN = {"g": "30", "b": "400k", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "5"}
COUNT = 60


def shown_packet_test(codec: str, extradata: bytes) -> Callable[[bytes], bool] | None:
    """The test for whole packets."""
    shows = shows_of_packet(codec, extradata)
    return None if shows is None else lambda data: shows(data, len(data))


def counted(path: Path) -> tuple[int, int, int]:
    """Packets, those that show something, and the pictures of a plain decode."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        shows = shown_packet_test(context.codec.canonical_name, bytes(context.extradata or b""))
        packets = [bytes(packet) for packet in file.demux(stream) if packet.size]
    with av.open(str(path)) as file:
        pictures = sum(1 for _ in file.decode(video=0))
    return len(packets), sum(shows is None or shows(packet) for packet in packets), pictures


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("framed.mp4", "libx264", X264),
        ("delimited.ts", "libx264", X264),
        ("delimited.avi", "libx264", {**X264, "bf": "0"}),
        ("framed_hevc.mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
        ("delimited_hevc.ts", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
        ("vp8.webm", "libvpx", {"g": "20", "b": "400k", "deadline": "realtime", "cpu-used": "8"}),
        ("vp9.webm", "libvpx-vp9", VP9_HIDDEN),
        ("av1.mkv", "libsvtav1", {"preset": "12", "g": "20", "svtav1-params": "lp=1"}),
        ("other.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
    ],
)
def test_of_an_ordinary_stream_every_packet_shows_a_picture(
    name: str, codec: str, options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVT_LOG", "-1")
    _, shown, pictures = counted(encode(tmp_path / name, codec, count=COUNT, options=options))
    assert shown == pictures == COUNT


@pytest.mark.parametrize(
    ("codec", "head", "shown"),
    [
        ("vp8", 0x10, True),
        ("vp8", 0x00, False),
        ("vp9", 0b1000_0010, True),  # profile 0, show_frame
        ("vp9", 0b1000_0100, False),
        ("vp9", 0b1000_1000, True),  # show_existing_frame
        ("vp9", 0b1011_0001, True),  # profile 3 has a bit more before them
        ("vp9", 0b1011_0010, False),
    ],
)
def test_frames_that_are_only_referred_to_show_nothing(codec: str, head: int, shown: bool) -> None:
    shows = shown_packet_test(codec, b"")
    assert shows is not None
    assert shows(bytes([head, 0, 0, 0])) == shown


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_the_end_of_a_sequence_shows_nothing(codec: str) -> None:
    shows = shown_packet_test(codec, b"")
    assert shows is not None
    assert not shows(b"\x00\x00\x01\xb7")
    assert shows(b"\x00\x00\x01\xb3\x06\x00\x00\x01\x00\x00\x0f")


def test_av1_frames_are_told_by_their_headers() -> None:
    shows = shown_packet_test("av1", b"")
    assert shows is not None
    temporal_delimiter = bytes([0x12, 0x00])
    assert not shows(temporal_delimiter)
    assert shows(temporal_delimiter + bytes([0x32, 0x02, 0x10, 0x00]))  # a frame, show_frame
    assert not shows(temporal_delimiter + bytes([0x32, 0x02, 0x00, 0x00]))
    assert shows(temporal_delimiter + bytes([0x1A, 0x01, 0x80]))  # a frame header, show_existing_frame


LENGTH_OF_FOUR = b"\x01\x64\x00\x1f\xff\xe1"
DELIMITER, MESSAGE, SLICE = b"\x09\xf0", b"\x06\x01\x02", b"\x65\x88\x84"


def framed(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def delimited(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


@pytest.mark.parametrize("join", [framed, delimited])
def test_h264_samples_of_a_delimiter_or_a_message_alone_show_nothing(join: object) -> None:
    together = framed if join is framed else delimited
    shows = shown_packet_test("h264", LENGTH_OF_FOUR if join is framed else b"")
    assert shows is not None
    assert not shows(together(DELIMITER))
    assert not shows(together(DELIMITER, MESSAGE))
    assert shows(together(DELIMITER, MESSAGE, SLICE))


def test_h264_units_longer_than_their_packet_are_damaged_pictures() -> None:
    shows = shown_packet_test("h264", LENGTH_OF_FOUR)
    assert shows is not None
    assert shows(b"\xff" * 200)
    head_of_a_long_message = (9000).to_bytes(4, "big") + MESSAGE + bytes(100)
    whole = shows_of_packet("h264", LENGTH_OF_FOUR)
    assert whole is not None
    assert not whole(head_of_a_long_message, 9004)


def test_hevc_messages_show_nothing_and_slices_do() -> None:
    shows = shown_packet_test("hevc", b"")
    assert shows is not None
    assert not shows(delimited(b"\x46\x01\x50", b"\x4e\x01\x01"))
    assert shows(delimited(b"\x46\x01\x50", b"\x26\x01\xaf"))


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg2video", "vp8", "vp9", "av1"])
@pytest.mark.parametrize("data", [b"\x00", b"\xff", bytes(64), b"\xff" * 64, bytes(range(256))])
def test_whatever_the_bytes_are_there_is_an_answer(codec: str, data: bytes) -> None:
    shows = shown_packet_test(codec, b"\x01" * 30)
    assert shows is not None
    assert shows(data) in (True, False)
