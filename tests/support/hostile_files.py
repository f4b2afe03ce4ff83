"""Files that mean harm, or that nobody meant to be sent: makers that several tests share."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from support.mp4_boxes import box_of, find

# Texts that name other files; ``{url}`` and ``{port}`` are of a server that must hear nothing.
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


def multipart(*parts: tuple[str, str | None, bytes], boundary: str = "b", end: bool = True) -> bytes:
    """A form's body of (field, file name, content)."""
    body = b""
    for name, filename, data in parts:
        tail = f'; filename="{filename}"' if filename is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'.encode() + data + b"\r\n"
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


def huge_gif(path: Path, side: int) -> Path:
    """43 bytes that unpack to a square of ``side`` pixels."""
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
    return path


def set_matrix(path: Path, matrix: tuple[float, float, float, float]) -> Path:
    """Write a display matrix into the track header of an MP4; its version 0 has the matrix 40 bytes in."""
    a, b, c, d = (int(value * 65536) for value in matrix)
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def lie_about(box: bytes, offset: int, value: int) -> Callable[[Path], None]:
    """Overwrite a 32-bit field of an MP4 box, ``offset`` bytes behind the box's name."""

    def write(path: Path) -> None:
        data = bytearray(path.read_bytes())
        start = data.index(box) + 4 + offset
        data[start : start + 4] = value.to_bytes(4, "big")
        path.write_bytes(data)

    return write


def say_streams(path: Path, count: int) -> Path:
    """Let an MP4 whose tables lie behind its pictures say that it has so many tracks, all alike."""
    data = path.read_bytes()
    moov, track = find(data, "moov/trak")
    tracks = data[track.start : track.end] * count
    inside = data[moov.body : track.start] + tracks + data[track.end : moov.end]
    path.write_bytes(data[: moov.start] + box_of(b"moov", inside) + data[moov.end :])
    return path


def cut(path: Path, size: int) -> Path:
    """Keep the first ``size`` bytes."""
    path.write_bytes(path.read_bytes()[:size])
    return path
