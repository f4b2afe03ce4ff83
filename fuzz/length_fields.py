"""Where a container says how long something is: numbers that a reader goes by, and so the best ones to lie about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

_MP4_HOLDERS = frozenset(b"moov trak mdia minf stbl edts mvex moof traf udta dinf stsd".split())
_MP4_BEFORE_INNER = {b"stsd": 8}  # bytes of a holder that are no box
_EBML_HOLDERS = frozenset(
    bytes.fromhex(name) for name in ("1a45dfa3", "18538067", "1654ae6b", "ae", "e0", "1f43b675", "a0", "1c53bb6b", "bb")
)
_RIFF_HOLDERS = frozenset((b"RIFF", b"LIST"))
_TS_PACKET = 188
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_OBJECT_BYTES = 24
_MAX_FIELDS = 4096  # of one file: more of them are more of the same


@dataclass(frozen=True, slots=True)
class LengthField:
    """``width`` bytes at ``at`` that hold a length."""

    at: int
    width: int
    order: Literal["big", "little"]


def length_fields(data: bytes) -> list[LengthField]:
    """Those of a file, by its container; empty where it is none that is known here."""
    found: list[LengthField] = []
    for field in _of(data):
        found.append(field)
        if len(found) == _MAX_FIELDS:
            break
    return found


def _of(data: bytes) -> Iterator[LengthField]:
    for is_one, fields in _CONTAINERS:
        if is_one(data):
            return fields(data)
    return iter(())


def _mp4(data: bytes, start: int, end: int) -> Iterator[LengthField]:
    while start + 8 <= end:
        size, name = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        yield LengthField(start, 4, "big")
        stop = start + size if size >= 8 else end
        if name in _MP4_HOLDERS:
            yield from _mp4(data, start + 8 + _MP4_BEFORE_INNER.get(name, 0), min(stop, end))
        elif name[:2] == b"st" or name in (b"ctts", b"elst", b"trun"):
            yield LengthField(start + 12, 4, "big")  # the number of its entries
        start = stop


def _ebml(data: bytes, start: int, end: int) -> Iterator[LengthField]:
    while start < end:
        name_width = _leading_zeros(data[start]) + 1
        at = start + name_width
        if name_width > 4 or at >= end:
            return
        width = _leading_zeros(data[at]) + 1
        if width > 8:
            return
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        yield LengthField(at, width, "big")
        body = at + width
        unknown = size == (1 << 7 * width) - 1
        stop = end if unknown else min(body + size, end)
        if data[start:at] in _EBML_HOLDERS:
            yield from _ebml(data, body, stop)
        start = stop


def _leading_zeros(byte: int) -> int:
    return 8 - byte.bit_length()


def _riff(data: bytes, start: int, end: int) -> Iterator[LengthField]:
    while start + 8 <= end:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        yield LengthField(start + 4, 4, "little")
        stop = min(start + 8 + size + size % 2, end)
        if data[start : start + 4] in _RIFF_HOLDERS:
            yield from _riff(data, start + 12, stop)
        start = stop


def _flv(data: bytes) -> Iterator[LengthField]:
    yield LengthField(5, 4, "big")
    at = 13
    while at + 11 <= len(data):
        yield LengthField(at + 1, 3, "big")
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")


def _ogg(data: bytes) -> Iterator[LengthField]:
    at = data.find(b"OggS")
    while at >= 0 and at + 27 <= len(data):
        segments = data[at + 26]
        yield LengthField(at + 26, 1, "big")
        yield from (LengthField(at + 27 + number, 1, "big") for number in range(segments))
        at = data.find(b"OggS", at + 27)


def _gif(data: bytes) -> Iterator[LengthField]:
    at = data.find(b",")
    while at >= 0 and at + 11 < len(data):
        yield LengthField(at + 5, 2, "little")  # width and height of a picture
        yield LengthField(at + 7, 2, "little")
        yield LengthField(at + 11, 1, "big")
        at = data.find(b"\0,", at + 1)
        at += at >= 0


def _asf(data: bytes) -> Iterator[LengthField]:
    yield LengthField(16, 8, "little")
    header = int.from_bytes(data[16:24], "little")
    at = 30
    while at + _ASF_OBJECT_BYTES <= min(header, len(data)):
        yield LengthField(at + 16, 8, "little")
        at += max(_ASF_OBJECT_BYTES, int.from_bytes(data[at + 16 : at + 24], "little"))


def _mpegts(data: bytes) -> Iterator[LengthField]:
    for at in range(0, len(data) - _TS_PACKET + 1, _TS_PACKET):
        body = at + 4
        if data[at + 3] & 0x20:
            yield LengthField(body, 1, "big")  # of the adaptation field
            body += 1 + data[body]
        if not data[at + 1] & 0x40 or body + 6 > at + _TS_PACKET:
            continue
        if data[body : body + 3] == b"\0\0\1":
            yield LengthField(body + 4, 2, "big")  # of a packetised stream's packet
            yield LengthField(body + 8, 1, "big")
        else:
            yield LengthField(body + 2, 2, "big")  # of a section


def _mpegps(data: bytes) -> Iterator[LengthField]:
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 9 <= len(data):
        if data[at + 3] >= 0xBB:
            yield LengthField(at + 4, 2, "big")
            yield LengthField(at + 8, 1, "big")
        at = data.find(b"\0\0\1", at + 4)


_CONTAINERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Iterator[LengthField]]], ...] = (
    (lambda data: data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"), lambda data: _mp4(data, 0, len(data))),
    (lambda data: data.startswith(bytes.fromhex("1a45dfa3")), lambda data: _ebml(data, 0, len(data))),
    (lambda data: data.startswith(b"RIFF"), lambda data: _riff(data, 0, len(data))),
    (lambda data: data.startswith(b"FLV"), _flv),
    (lambda data: data.startswith(b"OggS"), _ogg),
    (lambda data: data.startswith(b"GIF8"), _gif),
    (lambda data: data.startswith(_ASF_HEADER), _asf),
    (lambda data: data[:1] == b"G" and data[_TS_PACKET : _TS_PACKET + 1] in (b"G", b""), _mpegts),
    (lambda data: data.startswith(b"\0\0\1\xba"), _mpegps),
)
