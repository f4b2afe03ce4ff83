"""Which containers and codecs are accepted, and what is said of a file in any other.

Each decoder is code that reads a stranger's bytes, so only those of videos that people send are let in. Archives hold
more: ``wide`` lets in what Windows, camcorders and editing rooms wrote. Names of containers are FFmpeg's demuxers,
names of codecs its *decoders*: AV1 is libdav1d, DivX 3 is msmpeg4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from laps_server.errors import UnsupportedCodec, UnsupportedContainer

CodecSet = Literal["standard", "wide"]

_CONVERT = "convert it with: ffmpeg -i IN -c:v libx264 OUT.mp4"
_WIDER = "; or, where the server is yours, start it with LAPS_CODECS=wide"


@dataclass(frozen=True, slots=True)
class AcceptedFormats:
    """What one setting lets in.

    Attributes:
        containers: FFmpeg's demuxer -> what we call the container.
        decoders: FFmpeg's decoder -> what people call the codec.
    """

    containers: Mapping[str, str]
    decoders: Mapping[str, str]

    @property
    def format_whitelist(self) -> str:
        """Demuxers as FFmpeg's option takes them; of one with many names the first."""
        return ",".join(name.partition(",")[0] for name in self.containers)

    @property
    def codec_whitelist(self) -> str:
        """Decoders as FFmpeg's option takes them."""
        return ",".join(self.decoders)


_STANDARD = AcceptedFormats(
    containers={
        "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
        "matroska,webm": "matroska",
        "avi": "avi",
        "flv": "flv",
        "mpegts": "mpegts",
        "mpeg": "mpegps",
        "ogg": "ogg",
        "gif": "gif",
    },
    decoders={
        "h264": "H.264",
        "hevc": "HEVC",
        "vp8": "VP8",
        "vp9": "VP9",
        "libdav1d": "AV1",
        "mpeg4": "MPEG-4",
        "mpeg2video": "MPEG-2",
        "mpeg1video": "MPEG-1",
        "mjpeg": "MJPEG",
        "theora": "Theora",
        "gif": "GIF",
        "msmpeg4": "DivX 3",
        "msmpeg4v2": "Microsoft MPEG-4 v2",
        "h263": "H.263",
        "prores": "ProRes",
        "ffv1": "FFV1",
    },
)
_WIDE = AcceptedFormats(
    containers={**_STANDARD.containers, "asf": "asf", "dv": "dv"},
    decoders={
        **_STANDARD.decoders,
        "wmv1": "WMV 7",
        "wmv2": "WMV 8",
        "wmv3": "WMV 9",
        "vc1": "VC-1",
        "dnxhd": "DNxHD",
        "dvvideo": "DV",
        "huffyuv": "HuffYUV",
        "ffvhuff": "FFmpeg's HuffYUV",
        "rawvideo": "raw video",
        "v210": "raw 10-bit video",
        "msmpeg4v1": "Microsoft MPEG-4 v1",
        "flv": "Sorenson H.263",
        "h263p": "H.263+",
        "h263i": "Intel H.263",
    },
)
ACCEPTED: dict[CodecSet, AcceptedFormats] = {"standard": _STANDARD, "wide": _WIDE}

# What people call containers: ours, and some that are recognised by their first bytes only to name them in a refusal.
_TITLES = {
    "mp4": "MP4, MOV, 3GP",
    "matroska": "MKV, WebM",
    "avi": "AVI",
    "flv": "FLV",
    "mpegts": "MPEG-TS",
    "mpegps": "MPEG-PS",
    "ogg": "Ogg",
    "gif": "GIF",
    "asf": "Windows Media",
    "dv": "raw DV",
    "mxf": "MXF",
    "rm": "RealMedia",
    "ivf": "IVF",
    "yuv4mpegpipe": "YUV4MPEG2",
    "wtv": "Windows recorded TV",
}


def refused_container(found: str | None, chosen: CodecSet) -> UnsupportedContainer:
    """What is said of a file in ``found``, our or FFmpeg's name for the container; None where nothing knows it."""
    if found is None:
        *others, last = (_TITLES.get(name, name) for name in ACCEPTED[chosen].containers.values())
        return UnsupportedContainer(
            "this is not a video that can be opened", hint=f"send {', '.join(others)} or {last}"
        )
    wider = _WIDER if any(found in accepted.containers.values() for accepted in _beyond(chosen)) else ""
    return UnsupportedContainer(
        f"container {found} ({_TITLES.get(found, found)}) is not on the list", hint=f"{_CONVERT}{wider}"
    )


def refused_codec(codec: str, *, decoder: str, title: str, chosen: CodecSet) -> UnsupportedCodec:
    """What is said of a stream of ``codec``, which FFmpeg describes as ``title`` and decodes by ``decoder``."""
    wider = _WIDER if any(decoder in accepted.decoders for accepted in _beyond(chosen)) else ""
    return UnsupportedCodec(f"codec {codec} ({title}) is not on the list", hint=f"{_CONVERT}{wider}")


def _beyond(chosen: CodecSet) -> tuple[AcceptedFormats, ...]:
    """The settings that take more than ``chosen``."""
    order = get_args(CodecSet)
    return tuple(ACCEPTED[name] for name in order[order.index(chosen) + 1 :])
