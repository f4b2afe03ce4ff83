"""Damage: a few changes of a file's bytes, drawn by a generator with a seed, and written down to be made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

from fuzz.length_fields import length_fields
from pydantic import ConfigDict

Kind = Literal["bits", "number", "length", "cut", "drop", "repeat", "splice", "random"]

_MAX_EDITS = 6
_HEAD_BYTES = 1024  # where headers are: half of the damage is done there
_MAX_PIECE = 4096
_MAX_BITS = 8
_MAX_RANDOM = 64
_MAX_FILE_BYTES = 1 << 20
_WIDTHS = (1, 2, 3, 4, 8)


@dataclass(frozen=True, slots=True)
class Edit:
    """``removed`` bytes at ``at`` are replaced by ``new``; in JSON these are in Base64."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    kind: Kind
    at: int
    removed: int
    new: bytes

    def applied(self, data: bytes) -> bytes:
        """The file afterwards."""
        return data[: self.at] + self.new + data[self.at + self.removed :]


def damage(data: bytes, donors: Sequence[bytes], draw: Random) -> list[Edit]:
    """Edits for a file, one after the other; ``donors`` are files that pieces are taken from."""
    edits: list[Edit] = []
    for _ in range(min(1 + int(draw.expovariate(0.7)), _MAX_EDITS)):
        if not data:
            break
        kind = draw.choice(tuple(_EDITS))
        edit = _splice(data, draw.choice(donors), draw) if kind == "splice" else _EDITS[kind](data, draw)
        damaged = edit.applied(data)
        if len(damaged) <= _MAX_FILE_BYTES:
            edits.append(edit)
            data = damaged
    return edits


def applied(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The file after all of them."""
    for edit in edits:
        data = edit.applied(data)
    return data


def _place(data: bytes, draw: Random) -> int:
    """An offset, near the start or the end as often as anywhere."""
    size = len(data)
    where = draw.random()
    if where < 0.5:
        return draw.randrange(min(size, _HEAD_BYTES))
    if where < 0.65:
        return size - 1 - draw.randrange(min(size, _HEAD_BYTES))
    return draw.randrange(size)


def _piece(data: bytes, draw: Random) -> tuple[int, int]:
    """Start and size of a piece, small ones more often."""
    at = _place(data, draw)
    return at, min(len(data) - at, 1 + int(_MAX_PIECE ** draw.random()))


def _bits(data: bytes, draw: Random) -> Edit:
    at = _place(data, draw)
    new = bytearray(data[at : at + draw.randint(1, 4)])
    for _ in range(draw.randint(1, _MAX_BITS)):
        new[draw.randrange(len(new))] ^= 1 << draw.randrange(8)
    return Edit("bits", at, len(new), bytes(new))


def _interesting(old: int, width: int, draw: Random) -> int:
    """A number that readers' arithmetic fails at; near the one that is there as often as at an end of its range."""
    top = 1 << 8 * width
    ends = (0, 1, 2, 7, 8, 16, top - 1, top - 2, top // 2, top // 2 - 1, top // 4)
    near = (old + 1, old - 1, old * 2, old // 2, old + draw.randint(-256, 256), top - old)
    return draw.choice(draw.choice((ends, near))) % top


def _number(data: bytes, draw: Random) -> Edit:
    at = _place(data, draw)
    width = min(draw.choice(_WIDTHS), len(data) - at)
    order: Literal["big", "little"] = draw.choice(("big", "little"))
    old = int.from_bytes(data[at : at + width], order)
    return Edit("number", at, width, _interesting(old, width, draw).to_bytes(width, order))


def _length(data: bytes, draw: Random) -> Edit:
    fields = [field for field in length_fields(data) if field.at + field.width <= len(data)]
    if not fields:
        return _number(data, draw)
    field = draw.choice(fields)
    old = int.from_bytes(data[field.at : field.at + field.width], field.order)
    new = _interesting(old, field.width, draw).to_bytes(field.width, field.order)
    return Edit("length", field.at, field.width, new)


def _cut(data: bytes, draw: Random) -> Edit:
    at = _place(data, draw)
    return Edit("cut", at, len(data) - at, b"")


def _drop(data: bytes, draw: Random) -> Edit:
    at, size = _piece(data, draw)
    return Edit("drop", at, size, b"")


def _repeat(data: bytes, draw: Random) -> Edit:
    at, size = _piece(data, draw)
    times = 1 + int(draw.expovariate(0.5))
    return Edit("repeat", at, 0, data[at : at + size] * times)


def _random(data: bytes, draw: Random) -> Edit:
    at = _place(data, draw)
    new = draw.randbytes(draw.randint(1, _MAX_RANDOM))
    return Edit("random", at, min(len(new), len(data) - at) * draw.randint(0, 1), new)


def _splice(data: bytes, donor: bytes, draw: Random) -> Edit:
    """A piece of another file over as much of this one, put in between, or all of its tail for this one's."""
    at = _place(data, draw)
    if draw.random() < 0.3:
        return Edit("splice", at, len(data) - at, donor[min(at, len(donor)) :])
    start, size = _piece(donor, draw)
    return Edit("splice", at, draw.choice((0, min(size, len(data) - at))), donor[start : start + size])


_EDITS: dict[Kind, Callable[[bytes, Random], Edit]] = {
    "bits": _bits,
    "number": _number,
    "length": _length,
    "cut": _cut,
    "drop": _drop,
    "repeat": _repeat,
    "random": _random,
    "splice": lambda data, draw: _splice(data, data, draw),  # of its own, where there is no other file
}
