"""What a file's first bytes say it is, without a demuxer having seen it."""

from __future__ import annotations

from laps_server.video.descriptor_reader import DescriptorReader

# How files begin: (offset, bytes) -> the container. With ours, a damaged video is told from something else; of the
# others, a refusal names what was sent without a demuxer having seen it.
_SIGNATURES = {
    **dict.fromkeys(((4, atom) for atom in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")), "mp4"),
    **dict.fromkeys(((4, atom) for atom in (b"moof", b"styp")), "mp4"),
    (0, b"\x1a\x45\xdf\xa3"): "matroska",
    (8, b"AVI "): "avi",
    (0, b"FLV\x01"): "flv",
    (0, b"OggS"): "ogg",
    (0, b"GIF87a"): "gif",
    (0, b"GIF89a"): "gif",
    (0, b"\x00\x00\x01\xba"): "mpegps",
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")): "asf",
    (0, b"\x1f\x07\x00\x3f"): "dv",  # 60 fields a second
    (0, b"\x1f\x07\x00\xbf"): "dv",  # 50 fields a second
    (0, bytes.fromhex("060e2b34020501010d0102")): "mxf",
    (0, b".RMF"): "rm",
    (0, b"DKIF"): "ivf",
    (0, b"YUV4MPEG2"): "yuv4mpegpipe",
    (0, bytes.fromhex("b7d800203749da11a64e0007e95ead8d")): "wtv",
}
_TS_PACKET_BYTES = 188


def container_by_signature(reader: DescriptorReader) -> str | None:
    """The container that the file begins as, whether or not it is one of ours; None where nothing is known of it."""
    head = reader.read_at(0, 2 * _TS_PACKET_BYTES + 1)
    for (offset, magic), container in _SIGNATURES.items():
        if head[offset : offset + len(magic)] == magic:
            return container
    if len(head) > 2 * _TS_PACKET_BYTES and all(byte == 0x47 for byte in head[::_TS_PACKET_BYTES]):
        return "mpegts"
    return None
