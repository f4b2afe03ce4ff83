"""Whether a packet holds a picture that is shown, from its first bytes: no decoder is asked.

Containers count samples and not pictures. A sample may be a delimiter or a message alone (H.264, HEVC), the end of a
sequence (MPEG-1, MPEG-2), or a frame that is only there to be referred to (VP8, VP9, AV1)::

    H.264  [AUD][SEI]            nothing       VP9  [show_frame 0]              nothing
           [AUD][slice ...]      a picture          [show_frame 0][show 1]      a picture, packed as one superframe

What the bitstreams' specifications say: H.264 table 7-1, HEVC table 7-1, MPEG-2 table 6-1, RFC 6386 section 9.1 for
VP8, VP9 section 6.2 and annex B, AV1 sections 5.3 and 5.9. Of other codecs every packet counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

# (the packet's first bytes, how many bytes it has) -> whether it shows a picture
ShowsPicture = Callable[[bytes, int], bool]

HEAD_BYTES = 4096  # a picture begins within so many bytes of its packet; only what does not is looked at whole
_START_CODE = b"\x00\x00\x01"
_MPEG_PICTURE = _START_CODE + b"\x00"
_H264_SLICES = range(1, 6)
_HEVC_SLICES = range(32)
_A_SLICE = 0x01  # of H.264 and of HEVC
_AVCC_LENGTH_BYTE, _HVCC_LENGTH_BYTE = 4, 21
_AV1_FRAME_HEADER, _AV1_FRAME = 3, 6


def shown_packet_test(codec: str, extradata: bytes) -> ShowsPicture | None:
    """The test for packets of ``codec``; None where every packet shows a picture, or where none is known.

    Args:
        codec: FFmpeg's canonical name.
        extradata: the stream's header, which says how H.264 and HEVC are framed.
    """
    if codec in ("h264", "hevc"):
        return _nal_units_of(codec, extradata)
    if codec in ("mpeg1video", "mpeg2video"):
        return lambda data, _: _MPEG_PICTURE in data
    return {"vp8": _vp8_shows, "vp9": _vp9_shows, "av1": _av1_shows}.get(codec)


def _nal_units_of(codec: str, extradata: bytes) -> ShowsPicture:
    # Behind a length each, of a size that the stream's header gives, or behind start codes.
    framed = len(extradata) > _HVCC_LENGTH_BYTE and extradata[0] == 1 if codec == "hevc" else extradata[:1] == b"\x01"
    length_byte = _AVCC_LENGTH_BYTE if codec == "h264" else _HVCC_LENGTH_BYTE
    size = (extradata[length_byte] & 3) + 1 if framed and len(extradata) > length_byte else 0

    def shows(data: bytes, packet_size: int) -> bool:
        heads = _framed(data, size, packet_size) if size else _delimited(data)
        if codec == "h264":
            return any(head & 0x1F in _H264_SLICES for head in heads)
        return any(head >> 1 & 0x3F in _HEVC_SLICES for head in heads)

    return shows


def _framed(data: bytes, size: int, packet_size: int) -> Iterator[int]:
    """First bytes of units that each begin with their length in ``size`` bytes.

    One that is longer than its packet is damage, and damage was a picture.
    """
    place = 0
    while place + size < len(data):
        length = int.from_bytes(data[place : place + size], "big")
        if place + size + length > packet_size:
            yield _A_SLICE
        elif length:
            yield data[place + size]
        place += size + length


def _delimited(data: bytes) -> Iterator[int]:
    """First bytes of units that each begin behind a start code."""
    place = data.find(_START_CODE)
    while 0 <= place < len(data) - len(_START_CODE):
        yield data[place + len(_START_CODE)]
        place = data.find(_START_CODE, place + len(_START_CODE))


def _vp8_shows(data: bytes, _: int) -> bool:
    return bool(data[0] & 0x10)


def _vp9_shows(data: bytes, _: int) -> bool:
    mark = data[-1]
    index_bytes = 2 + ((mark & 7) + 1) * ((mark >> 3 & 3) + 1)
    if mark & 0xE0 == 0xC0 and data[-index_bytes:][:1] == data[-1:]:  # of a superframe one frame is for display
        return True
    profile = (data[0] >> 5 & 1) | (data[0] >> 3 & 2)
    shown_again = 3 - (profile == 3)  # the bit of show_existing_frame, behind two bits of marker and two of profile
    return bool(data[0] >> shown_again & 1 or data[0] >> (shown_again - 2) & 1)


def _av1_shows(data: bytes, _: int) -> bool:
    place = 0
    while place < len(data):
        header = data[place]
        place += 2 if header & 4 else 1
        size = len(data) - place
        if header & 2:
            size, place = _leb128(data, place)
        # show_existing_frame, or behind two bits of frame_type show_frame
        if header >> 3 & 15 in (_AV1_FRAME_HEADER, _AV1_FRAME) and place < len(data) and data[place] & 0x90:
            return True
        place += size
    return False


def _leb128(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and the place behind it."""
    value = 0
    for count in range(8):
        byte = data[place] if place < len(data) else 0
        place += 1
        value |= (byte & 0x7F) << 7 * count
        if not byte & 0x80:
            break
    return value, place
