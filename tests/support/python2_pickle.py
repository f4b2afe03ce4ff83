"""Nested dicts of arrays as Python 2 pickled them at protocol 2: strings of bytes, and what was written once recalled.

Written operation by operation, since no Python of today writes strings so. `pickle.load(file, encoding="latin1")` reads
it back.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def python2_pickle(tree: Mapping[str, Any]) -> bytes:
    """The file."""
    writer = _Writer()
    writer.mapping(tree)
    return bytes(writer.file) + b"."


class _Writer:
    def __init__(self) -> None:
        self.file = bytearray(b"\x80\x02")
        self._places: dict[bytes, int] = {}
        self._count = 0

    def mapping(self, tree: Mapping[str, Any]) -> None:
        self._write(b"}")
        self._put()
        self._write(b"(")
        for key, value in tree.items():
            self._text(key.encode("latin-1"))
            if isinstance(value, Mapping):
                self.mapping(value)
            else:
                self._array(np.asarray(value))
        self._write(b"u")

    def _array(self, values: npt.NDArray[Any]) -> None:
        self._function(b"numpy.core.multiarray", b"_reconstruct")
        self._function(b"numpy", b"ndarray")
        self._tuple((0,))
        self._text(b"b")
        self._write(b"\x87")
        self._put()
        self._write(b"R")
        self._put()
        self._write(b"(")
        self._number(1)
        self._tuple(values.shape)
        self._function(b"numpy", b"dtype")
        self._text(values.dtype.str[1:].encode())
        self._number(0)
        self._number(1)
        self._write(b"\x87")
        self._put()
        self._write(b"R")
        self._put()
        self._write(b"(")
        self._number(3)
        self._text(values.dtype.newbyteorder("<").str[:1].encode())
        self._write(b"NNN")
        for number in (-1, -1, 0):
            self._number(number)
        self._write(b"t")
        self._put()
        self._write(b"b\x89")
        self._text(values.tobytes())
        self._write(b"t")
        self._put()
        self._write(b"b")

    def _tuple(self, numbers: Sequence[int]) -> None:
        self._write(b"(")
        for number in numbers:
            self._number(number)
        self._write(b"t")
        self._put()

    def _number(self, number: int) -> None:
        self._write(b"K" + bytes([number]) if 0 <= number < 256 else b"J" + struct.pack("<i", number))

    def _text(self, text: bytes) -> None:
        self._recalled(
            text, b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text
        )

    def _function(self, module: bytes, name: bytes) -> None:
        written = b"c" + module + b"\n" + name + b"\n"
        self._recalled(written, written)

    def _recalled(self, what: bytes, written: bytes) -> None:
        if what in self._places:
            place = self._places[what]
            self._write(b"h" + bytes([place]) if place < 256 else b"j" + struct.pack("<I", place))
        else:
            self._write(written)
            self._put()
            self._places[what] = self._count

    def _put(self) -> None:
        self._count += 1  # from 1 on, as in Python 2
        self._write(b"q" + bytes([self._count]) if self._count < 256 else b"r" + struct.pack("<I", self._count))

    def _write(self, what: bytes) -> None:
        self.file += what
