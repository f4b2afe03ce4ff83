"""What happens to pictures between a lens and a network: exposure, colour, blur, noise, bars, overlays.

All of it keeps the camera's motion and the frame's size. Strong versions are rare: a clip must stay readable.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from laps_export.data.arrays import Floats32, Pixels

Step = Callable[[Pixels, np.random.Generator], Pixels]

_NOISE_BANK = 1 << 21


class Degrader:
    """Applies a random chain of flaws to a clip; holds a bank of noise, which is slow to draw anew."""

    def __init__(self, *, seed: int = 0) -> None:
        bank = np.random.default_rng(seed).standard_normal(_NOISE_BANK, dtype=np.float32)
        self._bank = np.concatenate([bank, bank])

    def lens_and_light(self, frames: Pixels, rng: np.random.Generator) -> Pixels:
        """What happens before a video is encoded: uint8 `[n, H, W, 3]` to the same shape."""
        if rng.random() < 0.35:
            frames = _blur(frames, rng)
        if rng.random() < 0.75:
            frames = _light(frames, rng)
        if rng.random() < 0.55:
            frames = self._noise(frames, rng)
        return frames

    def screen(self, frames: Pixels, rng: np.random.Generator) -> Pixels:
        """What an editor lays over the picture, in place: bars and captions."""
        if rng.random() < 0.1:
            _bars(frames, rng)
        if rng.random() < 0.08:
            _caption(frames, rng)
        return frames

    def weak_codec(self, frames: Pixels, rng: np.random.Generator) -> Pixels:
        """Blocks and ringing of a still picture's codec on every frame, at the clip's own size."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 80))]
        out = np.empty_like(frames)
        for index, frame in enumerate(frames):
            _, data = cv2.imencode(".jpg", frame, quality)
            out[index] = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
        return out

    def _noise(self, frames: Pixels, rng: np.random.Generator) -> Pixels:
        sigma = float(np.exp(rng.uniform(np.log(0.7), np.log(14))))
        coloured = rng.random() < 0.5
        shape = frames.shape if coloured else (*frames.shape[:3], 1)
        grain = self._draw(shape, rng)
        return _to_uint8(frames + sigma * grain)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats32:
        """Normal noise, a new stretch of the bank for every frame."""
        count = int(np.prod(shape[1:]))
        starts = rng.integers(0, _NOISE_BANK, shape[0])
        rows = [np.resize(self._bank[start : start + count], count) for start in starts]
        return np.stack(rows).reshape(shape)


def _blur(frames: Pixels, rng: np.random.Generator) -> Pixels:
    sigma = float(rng.uniform(0.3, 1.3)) * frames.shape[1] / 128
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def _light(frames: Pixels, rng: np.random.Generator) -> Pixels:
    """Contrast, brightness, colour cast and gamma of a clip; brightness may drift or flicker."""
    count = len(frames)
    gain = np.full(count, rng.uniform(0.55, 1.35), dtype=np.float32)
    kind = rng.random()
    if kind < 0.25:
        gain *= np.linspace(1, rng.uniform(0.6, 1.5), count, dtype=np.float32)
    elif kind < 0.4:
        gain *= rng.normal(1, rng.uniform(0.01, 0.08), count).astype(np.float32)
    cast = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    values = np.arange(256, dtype=np.float32) / 255
    curve = values ** np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    lift = np.float32(rng.uniform(-0.06, 0.12))
    tables = _to_uint8((curve[None, :, None] * gain[:, None, None] * cast + lift) * 255)  # [n, 256, 3]
    out = np.stack([cv2.LUT(frame, table[None]) for frame, table in zip(frames, tables, strict=True)])
    if rng.random() < 0.12:
        gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in out])
        out = np.repeat(gray[..., None], 3, axis=-1)
    return np.asarray(out, dtype=np.uint8)


def _bars(frames: Pixels, rng: np.random.Generator) -> None:
    """Black bars above and below, or at the sides."""
    height, width = frames.shape[1:3]
    shade = int(rng.integers(0, 20))
    if rng.random() < 0.7:
        rows = int(height * rng.uniform(0.04, 0.22))
        frames[:, :rows] = frames[:, height - rows :] = shade
    else:
        columns = int(width * rng.uniform(0.04, 0.2))
        frames[:, :, :columns] = frames[:, :, width - columns :] = shade


def _caption(frames: Pixels, rng: np.random.Generator) -> None:
    """A line of text that stays where it is in the frame."""
    height, width = frames.shape[1:3]
    text = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTU 0123456789:"), int(rng.integers(4, 16))))
    scale = height / 128 * float(rng.uniform(0.3, 0.7))
    where = (int(width * rng.uniform(0.02, 0.4)), int(height * rng.choice((0.12, 0.88, 0.95))))
    colour = (255, 255, 255) if rng.random() < 0.7 else (250, 230, 40)
    for frame in frames:
        cv2.putText(frame, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, round(height / 160)))


def _to_uint8(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255), dtype=np.uint8)
