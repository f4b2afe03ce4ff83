"""Real video compression of rendered frames, in memory, and back to the pixels a server would see."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from laps_export.data.arrays import Pixels
from laps_export.errors import DataError


@dataclass(frozen=True)
class Codec:
    """One encoder and the settings that it is used with.

    Attributes:
        name: for reports.
        encoder: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder.
        options: always given to the encoder.
        quality: the option that sets the quality, and its best and worst value; None where bits a pixel do.
    """

    name: str
    encoder: str
    decoder: str
    options: tuple[tuple[str, str], ...]
    quality: tuple[str, int, int] | None
    bits_per_pixel: tuple[float, float] = (0.03, 0.3)


CODECS = (
    Codec("h264", "libx264", "h264", (("preset", "veryfast"), ("threads", "1")), ("crf", 18, 36)),
    Codec("mpeg4", "mpeg4", "mpeg4", (), None),
    Codec("vp9", "libvpx-vp9", "vp9", (("deadline", "realtime"), ("cpu-used", "8"), ("b", "0")), ("crf", 20, 52)),
)
WEIGHTS = (0.6, 0.2, 0.2)


def draw_codec(rng: np.random.Generator) -> Codec:
    """One of `CODECS`, mostly the commonest."""
    return CODECS[int(rng.choice(len(CODECS), p=WEIGHTS))]


def compress(frames: Pixels, codec: Codec, *, rate: float, quality: float) -> Pixels:
    """Encode and decode a run of frames.

    Args:
        frames: uint8 `[n, H, W, 3]`, H and W even.
        codec: which encoder.
        rate: frames a second.
        quality: 0 the best, 1 the worst.

    Returns:
        uint8 `[n, H, W, 3]`.

    Raises:
        DataError: `codec_failed`, FFmpeg refused or lost frames.
    """
    count, height, width = frames.shape[:3]
    per_second = Fraction(rate).limit_denominator(1001)
    encoder = av.CodecContext.create(codec.encoder, "w")
    decoder = av.CodecContext.create(codec.decoder, "r")
    if not isinstance(encoder, av.VideoCodecContext) or not isinstance(decoder, av.VideoCodecContext):
        raise DataError(f"{codec.encoder} is no video encoder", code="codec_failed")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = per_second, 1 / per_second
    options = dict(codec.options)
    if codec.quality is not None:
        name, best, worst = codec.quality
        options[name] = str(round(best + (worst - best) * quality))
    else:
        most, least = np.log(codec.bits_per_pixel[1]), np.log(codec.bits_per_pixel[0])
        encoder.bit_rate = int(np.exp(most + (least - most) * quality) * width * height * rate)
    encoder.options = options
    decoder.thread_count = encoder.thread_count = 1
    decoded: list[Pixels] = []
    try:
        for number, picture in enumerate((*frames, None)):
            frame = None
            if picture is not None:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts = number
            for packet in encoder.encode(frame):
                decoded += [_pixels(shown) for shown in decoder.decode(packet)]
        decoded += [_pixels(shown) for shown in decoder.decode(None)]
    except av.FFmpegError as exc:
        raise DataError(f"{codec.encoder}: {exc}", code="codec_failed") from exc
    if len(decoded) != count:
        raise DataError(f"{codec.encoder} gave {len(decoded)} of {count} frames back", code="codec_failed")
    return np.stack(decoded)


def _pixels(frame: av.VideoFrame) -> Pixels:
    """`[H, W, 3]` by the same conversion as the server's."""
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
