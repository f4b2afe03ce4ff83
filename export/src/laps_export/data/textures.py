"""Procedural pictures: what photographs of a few packages lack, at no cost in data.

Three kinds, all with structure at every scale: overlapping leaves (the statistics of natural pictures), clouds
of noise, and pages of letters.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from laps_export.data.arrays import Floats32, Pixels

_LETTERS = "ABCDEFGHKLMNOPRSTUVXYZ 0123456789 abcdefghkmnopqrstuvxyz .,:!?"


def draw_texture(rng: np.random.Generator, *, size: int = 768) -> Pixels:
    """One random texture: uint8 `[size, size, 3]`."""
    return (leaves, clouds, page)[int(rng.choice(3, p=(0.6, 0.25, 0.15)))](rng, size=size)


def leaves(rng: np.random.Generator, *, size: int) -> Pixels:
    """Opaque discs and boxes of every size over each other, each with a colour and grain of its own."""
    picture = np.empty((size, size, 3), dtype=np.uint8)
    picture[:] = _palette(rng, 1)[0]
    count = int(rng.integers(250, 900))
    radii = 0.5 * size * 0.012 / rng.uniform(0.012, 0.6, count) ** 0.9
    colours = _palette(rng, count)
    round_share = rng.random()
    for radius, colour in zip(radii, colours, strict=True):
        centre = rng.integers(0, size, 2).tolist()
        if rng.random() < round_share:
            axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.3, 1))))
            cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour.tolist(), -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre, (radius * 2, radius * 2 * rng.uniform(0.2, 1)), float(rng.uniform(0, 180))))
            cv2.fillPoly(picture, [box.astype(np.int32)], colour.tolist(), cv2.LINE_AA)
    grain = noise(rng, size=size, octaves=5) * rng.uniform(5, 45)
    return _clip(picture + grain[..., None])


def clouds(rng: np.random.Generator, *, size: int) -> Pixels:
    """Noise of many scales, mapped from one colour to another and back."""
    height = noise(rng, size=size, octaves=7)
    wave = 0.5 + 0.5 * np.sin(height * rng.uniform(2, 7) + rng.uniform(0, 6))
    first, second = _palette(rng, 2).astype(np.float32)
    return _clip(first + (second - first) * wave[..., None])


def page(rng: np.random.Generator, *, size: int) -> Pixels:
    """Lines of letters on paper or on a board."""
    dark, light = rng.integers(0, 80, 3), rng.integers(170, 256, 3)
    ink, paper = (dark, light) if rng.random() < 0.7 else (light, dark)
    picture = np.empty((size, size, 3), dtype=np.uint8)
    picture[:] = paper
    row = 0
    while row < size:
        scale = float(rng.uniform(0.5, 2.5))
        row += int(26 * scale * rng.uniform(1.1, 2.0))
        text = "".join(rng.choice(list(_LETTERS), 70))
        where = (int(rng.integers(-30, 60)), row)
        cv2.putText(
            picture, text, where, int(rng.integers(0, 5)), scale, ink.tolist(), int(rng.integers(1, 4)), cv2.LINE_AA
        )
    return _clip(picture + noise(rng, size=size, octaves=4)[..., None] * 12)


def noise(rng: np.random.Generator, *, size: int, octaves: int) -> Floats32:
    """Sum of smooth noises, each twice as fine and half as strong: float32 `[size, size]` of unit deviation."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave in range(octaves):
        side = min(size, 3 * 2**octave)
        coarse = rng.standard_normal((side, side), dtype=np.float32) * 0.6**octave
        total += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), dtype=np.float32)


def _palette(rng: np.random.Generator, count: int) -> Pixels:
    """`[count, 3]` colours around a common tint, sometimes nearly gray."""
    tint = rng.uniform(60, 190, 3)
    spread = rng.uniform(15, 80)
    bright = rng.normal(0, spread, (count, 1))
    return _clip(tint + bright + rng.normal(0, spread * rng.uniform(0.1, 0.8), (count, 3)))


def _clip(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255), dtype=np.uint8)
