"""Whether a file was cut off, where the container says how it ends.

A cut MP4, Matroska or FLV shows by ending before its declared duration. The containers here declare none, or
FFmpeg guesses it from what is there; their last bytes tell instead.
"""

from __future__ import annotations

from collections.abc import Callable

from laps_server.video.asf import declared_size

Read = Callable[[int, int], bytes]  # (offset, size) -> bytes

_TAIL_BYTES = 128 * 1024  # an Ogg page and an MPEG packet have at most 64 KiB
_TS_PACKET_BYTES = 188
_OGG_END_OF_STREAM = 0x04
_PES_STREAM_IDS = range(0xBD, 0xF0)
_PES_HEADER_BYTES = 6
_DV_FRAME_BYTES = {False: 120_000, True: 144_000}  # at 60 and at 50 fields a second; better kinds take multiples


def is_cut_short(container: str, size: int, read: Read) -> bool:
    """Whether a file of ``size`` bytes lacks its end; False where its container cannot tell."""
    checks = {"avi": _avi, "mpegts": _mpegts, "mpegps": _mpegps, "ogg": _ogg, "gif": _gif, "asf": _asf, "dv": _dv}
    check = checks.get(container)
    return check is not None and check(size, read)


def _avi(size: int, read: Read) -> bool:
    """The first RIFF chunk says how long it is; zero and the like are left by recorders that crashed."""
    return 8 + int.from_bytes(read(4, 4), "little") > size


def _mpegts(size: int, read: Read) -> bool:
    """Packets of 188 bytes without a remainder; other packings are not looked into."""
    return read(0, 1) == read(_TS_PACKET_BYTES, 1) == b"\x47" and size % _TS_PACKET_BYTES != 0


def _mpegps(size: int, read: Read) -> bool:
    """The last packet has the length that it declares; its identifiers never occur inside MPEG video."""
    start = max(0, size - _TAIL_BYTES)
    tail = read(start, size - start)
    position = len(tail)
    while (position := tail.rfind(b"\x00\x00\x01", 0, position)) >= 0:
        header = tail[position : position + _PES_HEADER_BYTES]
        if len(header) > 3 and header[3] in _PES_STREAM_IDS:
            length = int.from_bytes(header[4:], "big")
            return position + _PES_HEADER_BYTES + length > len(tail)
    return False


def _ogg(size: int, read: Read) -> bool:
    """The last page is marked as the end of its stream."""
    start = max(0, size - _TAIL_BYTES)
    tail = read(start, size - start)
    page = tail.rfind(b"OggS")
    return page < 0 or len(tail) < page + 6 or not tail[page + 5] & _OGG_END_OF_STREAM


def _gif(size: int, read: Read) -> bool:
    """A trailer ends the file; some writers pad it with zeros."""
    start = max(0, size - _TAIL_BYTES)
    return not read(start, size - start).rstrip(b"\x00").endswith(b"\x3b")


def _asf(size: int, read: Read) -> bool:
    """The header says how long the file is; where that is wrong FFmpeg takes no duration from it either."""
    return (declared_size(read) or 0) > size


def _dv(size: int, read: Read) -> bool:
    """Frames of one size follow each other; the fourth byte says how many there are in a second."""
    is_50 = bool(read(3, 1)[0] & 0x80)
    return size % _DV_FRAME_BYTES[is_50] != 0
