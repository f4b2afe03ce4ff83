"""Whether a file was cut off, where the container says how it ends.

A declared duration tells of a cut too, but it may be the sound's, or FFmpeg's guess from what is there. The checks here
go by lengths and marks alone. Bytes behind the end of a whole file are ignored: players, cameras and downloads leave
tags, text and zeros there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from laps_server.video.asf import declared_size

Read = Callable[[int, int], bytes]  # (offset, size) -> bytes

_MAX_SEARCHED_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 128 * 1024  # an Ogg page and an MPEG packet have at most 64 KiB
_MAX_STEPS = 1_000_000  # boxes, tags or blocks looked at one by one; a file of more counts as whole
_MEDIA_BOXES = (b"mdat", b"moof", b"moov")
_EBML_SEGMENT = bytes.fromhex("18538067")
_EBML_BEFORE_SEGMENT = 16  # elements: the header, and what a writer may have put in between
_FLV_HEADER_BYTES = 13  # with the first back pointer
_FLV_TAG_BYTES = 11
_FLV_TAGS = (8, 9, 18)  # sound, picture, script
_TS_PACKET_BYTES = 188
_TS_LENGTHS = (188, 192)  # 192 with the time of arrival, as camcorders write them
_TS_MARK = 0x47
_TS_PACKETS = 5  # in a row are no accident
_OGG_PAGE = b"OggS"
_OGG_OVERLAP_BYTES = len(_OGG_PAGE) - 1
_OGG_HEADER_BYTES = 27  # the last of them counts the lengths that follow
_OGG_END_OF_STREAM = 0x04
_GIF_HEADER_BYTES = 13
_GIF_PICTURE_BYTES = 10
_PES_STREAM_IDS = range(0xBD, 0xF0)
_PES_HEADER_BYTES = 6
_DV_FRAME_BYTES = {False: 120_000, True: 144_000}  # at 60 and at 50 fields a second; better kinds take multiples


def is_truncated(container: str, size: int, read: Read) -> bool:
    """Whether a file of ``size`` bytes lacks its end; False where its container cannot tell."""
    check = _CHECKS.get(container)
    return check is not None and check(size, read)


def has_media_after(position: int, *, container: str, size: int, read: Read) -> bool:
    """Whether more of the container lies behind ``position``, where reading it failed; True where nobody can tell.

    Recorders leave reserved space behind a file's end, and demuxers that look for more there give up.
    """
    holds_more = {"mpegts": _holds_packets, "ogg": _holds_a_page}.get(container)
    if holds_more is None:
        return True
    end = min(size, position + _MAX_SEARCHED_BYTES)
    return any(holds_more(read(start, 2 * _TAIL_BYTES)) for start in range(position, end, _TAIL_BYTES))


def _holds_packets(data: bytes) -> bool:
    """Whether some packets of a transport stream follow each other, each with its first byte."""
    marks = np.frombuffer(data, dtype=np.uint8) == _TS_MARK
    for length in _TS_LENGTHS:
        count = len(marks) - (_TS_PACKETS - 1) * length
        if count > 0 and np.all([marks[n * length :][:count] for n in range(_TS_PACKETS)], axis=0).any():
            return True
    return False


def _holds_a_page(data: bytes) -> bool:
    return _OGG_PAGE in data


def _mp4(size: int, read: Read) -> bool:
    """Boxes follow each other, each with its length. One of media that is longer than what is left was cut."""
    position = 0
    for _ in range(_MAX_STEPS):
        head = read(position, 16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length < 8:  # 0 is a box that ends with the file
            return False
        if position + length > size:
            return head[4:8] in _MEDIA_BOXES
        position += length
    return False


def _matroska(size: int, read: Read) -> bool:
    """The segment says how long it is, unless it was written as it came."""
    position = 0
    for _ in range(_EBML_BEFORE_SEGMENT):
        head = read(position, 12)
        name = _ebml_length(head)
        length = _ebml_length(head[name:]) if name else 0
        if not length or len(head) < name + length:
            return False
        coded = int.from_bytes(head[name : name + length])
        unknown = (1 << 7 * length) - 1
        value = coded & unknown
        if head[:name] == _EBML_SEGMENT:
            return value != unknown and position + name + length + value > size
        position += name + length + value
    return False


def _ebml_length(head: bytes) -> int:
    """Bytes of the number that ``head`` begins with: one more than the zeros before its first bit; 0 for none."""
    return 9 - head[0].bit_length() if head and head[0] else 0


def _flv(size: int, read: Read) -> bool:
    """A tag's length stands before and behind it. Where the file does not end with a tag, all are looked at in turn."""
    length = int.from_bytes(read(max(0, size - 4), 4))
    if 0 < length <= size - 4 and _flv_tag(read(size - 4 - length, _FLV_TAG_BYTES)) == length:
        return False
    position = _FLV_HEADER_BYTES
    for _ in range(_MAX_STEPS):
        tag = _flv_tag(read(position, _FLV_TAG_BYTES))
        if tag is None:
            return False
        position += tag + 4
        if position > size:
            return True
    return False


def _flv_tag(head: bytes) -> int | None:
    """Bytes of the tag with such a head, without the length behind it; None where that is no tag."""
    if not head or head[0] not in _FLV_TAGS or any(head[8:]):
        return None
    return _FLV_TAG_BYTES + int.from_bytes(head[1:4])


def _avi(size: int, read: Read) -> bool:
    """RIFF chunks, one for each gigabyte, say how long they are; recorders that crashed leave zero there."""
    position = 0
    for _ in range(_MAX_STEPS):
        head = read(position, 12)
        if head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX"):
            return False
        position += 8 + int.from_bytes(head[4:8], "little")
        if position > size:
            return True
        position += position % 2
    return False


def _mpegts(size: int, read: Read) -> bool:
    """Packets have 188 bytes; a remainder that begins like one was cut. Other packings are not checked."""
    remainder = size % _TS_PACKET_BYTES
    if not read(0, 1) == read(_TS_PACKET_BYTES, 1) == b"\x47":
        return False
    return remainder > 0 and read(size - remainder, 1) == b"\x47"


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
    """The last page is whole, and marked as the end of its stream."""
    end = size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        page = read(start, end - start + _OGG_OVERLAP_BYTES).rfind(_OGG_PAGE)
        if page >= 0:
            return _is_ogg_open(start + page, size, read)
        end = start
    return True


def _is_ogg_open(position: int, size: int, read: Read) -> bool:
    """Whether the page that begins at ``position`` lacks its end, or is not the last of its stream."""
    head = read(position, _OGG_HEADER_BYTES)
    if len(head) < _OGG_HEADER_BYTES or not head[5] & _OGG_END_OF_STREAM:
        return True
    lengths = read(position + _OGG_HEADER_BYTES, head[-1])
    return position + _OGG_HEADER_BYTES + head[-1] + sum(lengths) > size


def _gif(size: int, read: Read) -> bool:
    """A trailer ends the pictures. Where it does not end the file too, the blocks are looked at in turn up to it."""
    start = max(0, size - _TAIL_BYTES)
    if read(start, size - start).rstrip(b"\x00").endswith(b"\x3b"):
        return False
    position = _GIF_HEADER_BYTES + _gif_colours(read(10, 1))
    is_data = False  # blocks of data have their length before them, and the last has none
    for _ in range(_MAX_STEPS):
        head = read(position, _GIF_PICTURE_BYTES)
        if not head:
            return True
        if is_data:
            position += 1 + head[0]
            is_data = head[0] != 0
        elif head[:1] == b"\x21":  # an extension: its kind, then data
            position += 2
            is_data = True
        elif head[:1] == b"\x2c":  # a picture: its place, its colours, the bits of a code, then data
            position += _GIF_PICTURE_BYTES + _gif_colours(head[-1:]) + 1
            is_data = True
        else:
            return head[:1] != b"\x3b"
    return False


def _gif_colours(flags: bytes) -> int:
    """Bytes of the table of colours that ``flags`` announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _asf(size: int, read: Read) -> bool:
    """The header says how long the file is."""
    return (declared_size(read) or 0) > size


def _dv(size: int, read: Read) -> bool:
    """Frames of one size follow each other; the fourth byte says how many there are in a second."""
    is_50 = bool(read(3, 1)[0] & 0x80)
    return size % _DV_FRAME_BYTES[is_50] != 0


_CHECKS: Mapping[str, Callable[[int, Read], bool]] = {
    "mp4": _mp4,
    "matroska": _matroska,
    "flv": _flv,
    "avi": _avi,
    "mpegts": _mpegts,
    "mpegps": _mpegps,
    "ogg": _ogg,
    "gif": _gif,
    "asf": _asf,
    "dv": _dv,
}
