"""Windows Media Video 9 by hand, as no free encoder writes it: flat blocks in key pictures, and pictures that repeat.

Simple profile of SMPTE 421M. A key picture says of each block of 8x8 pixels how its mean differs from a neighbour's;
the pictures behind it say that every block is skipped. ffmpeg puts them into a container.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from support.numbered_videos import Pixels, ffmpeg, numbered

WIDTH, HEIGHT = 128, 96  # the blocks that show a number are whole blocks of the codec
RATE = 25
BLOCK = 8
SEQUENCE = bytes.fromhex("0001800d")  # simple profile: no loop filter, no overlap, the fast transform, one quantizer
QUANTIZER = f"{8:05b}0"
LEVELS_PER_STEP = 81 / 64  # of gray, at this quantizer
STEPS_OUTSIDE = 114  # what blocks beyond the edges are taken for, at this quantizer
SAME, ESCAPE = "1", f"{0x6078F:024b}"  # differences of means, in the table for luma with little motion
BOTH_CHROMA_SAME = "0000"
NO_COEFFICIENTS = "10"  # the pattern of coded blocks, and no prediction of coefficients
KEY_FLAG = 0x80


def write_wmv9(path: Path, *, count: int, key_every: int) -> Path:
    """Write ``count`` pictures, of which every ``key_every``-th shows its number and the others what is before them."""
    raw = path.with_suffix(".rcv")
    content = struct.pack("<I", count | 0xC5 << 24) + struct.pack("<I", 4) + SEQUENCE
    content += struct.pack("<5I", HEIGHT, WIDTH, 12, 0, 0) + struct.pack("<I", RATE)
    for number in range(count):
        key = number % key_every == 0
        picture = _packed(_key_picture(numbered(number, WIDTH, HEIGHT)) if key else _repeating_picture())
        content += struct.pack("<II", len(picture) | (KEY_FLAG if key else 0) << 24, number) + picture
    raw.write_bytes(content)
    ffmpeg("-i", raw, "-c", "copy", path)
    return path


def _key_picture(picture: Pixels) -> str:
    """The bits of a picture of flat blocks, as gray as ``picture`` is there."""
    rows, columns = HEIGHT // BLOCK, WIDTH // BLOCK
    gray = picture[..., 0].reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
    steps = np.full((rows + 1, columns + 1), STEPS_OUTSIDE)  # a row above and a column to the left are outside
    steps[1:, 1:] = np.round(gray / LEVELS_PER_STEP)
    bits = f"000{'0' * 7}{QUANTIZER}000"
    for y in range(0, rows, 2):
        for x in range(0, columns, 2):
            bits += NO_COEFFICIENTS
            bits += "".join(_difference(steps, y + dy, x + dx) for dy in (0, 1) for dx in (0, 1))
            bits += BOTH_CHROMA_SAME
    return bits


def _difference(steps: np.ndarray[tuple[int, ...], np.dtype[np.int64]], y: int, x: int) -> str:
    """The bits that say how the block in row ``y`` and column ``x`` differs from its prediction."""
    corner, above, left = (int(steps[place]) for place in ((y, x), (y, x + 1), (y + 1, x)))
    predicted = left if abs(above - corner) <= abs(corner - left) else above
    difference = int(steps[y + 1, x + 1]) - predicted
    return f"{ESCAPE}{abs(difference):08b}{int(difference < 0)}" if difference else SAME


def _repeating_picture() -> str:
    """The bits of a picture that skips every block: none of the rows is said not to be skipped."""
    rows = HEIGHT // (2 * BLOCK)
    one_vector, inverted, by_row = "1", "1", "010"
    return f"001{QUANTIZER}{one_vector}{inverted}{by_row}{'0' * rows}{'00' * 2}00"


def _packed(bits: str) -> bytes:
    whole = bits + "0" * (-len(bits) % 8)
    return int(whole, 2).to_bytes(len(whole) // 8, "big")
