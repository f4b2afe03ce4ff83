"""A pickle of nested dicts of arrays, read without running what is in it.

Every function that the pickle names is one of three of numpy's, and each is replaced by a stand-in of ours: no
constructor of numpy's is called with what the file says. Operations are checked before the first one runs, since some
(``LONG_BINPUT``) take memory that the file does not have. What Python 2 wrote is read too, whose strings are bytes.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from laps_export.errors import CheckpointError

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

FLOAT32 = ("f4",)
NUMBERS = ("f4", "f8", "i4", "i8")
"""Types of numbers, as numpy's pickles name them: weights alone, and what counts and rates have besides."""

_MAX_DIMENSIONS = 8
_MAX_DEPTH = 16
_BYTE_A_CHARACTER = "latin-1"
# What numpy and dicts need at protocols 2 to 4, and nothing else: no REDUCE of other classes.
_OPERATIONS = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
        *("BINBYTES", "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    }
)
_PUTS = frozenset({"BINPUT", "LONG_BINPUT"})


def read_arrays(data: bytes, *, name: str, types: Collection[str] = FLOAT32) -> dict[str, Array]:
    """Arrays by the path of their keys, joined by dots; they cannot be written to.

    Args:
        data: the whole file.
        name: of the file, for messages.
        types: of numbers that an array may have.

    Raises:
        CheckpointError: `not_a_checkpoint`, `checkpoint_refused`.
    """
    try:
        _check_operations(data)
        tree = _ArraysOnly(io.BytesIO(data), encoding=_BYTE_A_CHARACTER).load()
        return _Collector(types, len(data)).arrays_of(tree)
    except _Refused as exc:
        raise CheckpointError(
            f"{name} holds more than arrays and was refused: {exc}",
            code="checkpoint_refused",
            hint=_what_is_read(types),
        ) from exc
    except Exception as exc:  # a damaged pickle surfaces as any of a dozen types, depending on the byte
        raise CheckpointError(
            f"{name} ({len(data)} bytes) is no pickle of arrays, or not all of one",
            code="not_a_checkpoint",
            hint=_what_is_read(types),
        ) from exc


def _what_is_read(types: Collection[str]) -> str:
    return f"nested dicts of arrays are read, of {' or '.join(str(np.dtype(code)) for code in types)}"


class _Refused(Exception):
    """Something in the file is more than an array."""


def _check_operations(data: bytes) -> None:
    for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
        if operation.name not in _OPERATIONS:
            raise _Refused(f"its operation {operation.name} is not one that arrays need")
        # Memory is taken up to the place that is named; writers go on to the next.
        if operation.name in _PUTS and not (isinstance(argument, int) and argument <= count):
            raise _Refused(f"its operation {operation.name} is for the place {argument}, which nobody needs")


class _ArraysOnly(pickle.Unpickler):
    """Stand-ins for the three names; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        named = (module.replace("numpy._core", "numpy.core"), name)
        if named == ("numpy.core.multiarray", "_reconstruct"):
            return _begin_array
        if named == ("numpy", "ndarray"):
            return _ArrayClass
        if named == ("numpy", "dtype"):
            return _NumberType
        raise _Refused(f"it names {module}.{name}")


class _ArrayClass:
    """What stands where numpy's class is named; nobody makes one."""

    def __new__(cls, *_: object) -> NoReturn:
        """Refuse: arrays begin with ``_reconstruct``."""
        raise _Refused("it makes an array otherwise than numpy does")


class _NumberType:
    """A type of numbers, little-endian."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in NUMBERS:
            raise _Refused(f"its numbers are {code!r}")
        self.code = str(code)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or state[1:2] != ("<",):
            raise _Refused("its numbers are not little-endian")


@dataclass(frozen=True)
class _Content:
    """What is known of an array: as the file has it, since the same may stand there many times."""

    shape: tuple[int, ...]
    code: str
    numbers: bytes | str


class _Array:
    """An array on its way: what its state holds is checked and kept."""

    content: _Content | None = None

    def __setstate__(self, state: object) -> None:
        match state:
            case (1, tuple() as shape, _NumberType() as kind, False, bytes() | str() as numbers):
                pass
            case _:
                raise _Refused("an array's state is not that of a plain array")
        if len(shape) > _MAX_DIMENSIONS or not all(type(size) is int and size > 0 for size in shape):
            raise _Refused(f"an array has the shape {shape}")
        if math.prod(shape) * np.dtype(kind.code).itemsize != len(numbers):
            raise _Refused(f"an array of {shape} has {len(numbers)} bytes")
        self.content = _Content(shape, kind.code, numbers)


def _begin_array(kind: object, shape: object, code: object) -> _Array:
    if kind is not _ArrayClass or shape != (0,) or code not in (b"b", "b"):
        raise _Refused("an array begins otherwise than numpy's do")
    return _Array()


class _Collector:
    """Arrays out of nested dicts: none of another type, and no more bytes of them than the file has."""

    def __init__(self, types: Collection[str], bytes_left: int) -> None:
        self._types = types
        self._bytes_left = bytes_left
        self._seen: set[int] = set()
        self._arrays: dict[str, Array] = {}

    def arrays_of(self, tree: object) -> dict[str, Array]:
        self._collect(tree, ())
        return self._arrays

    def _collect(self, value: object, path: tuple[str, ...]) -> None:
        where = ".".join(path) or "the whole"
        if isinstance(value, _Array) and value.content is not None and path:
            self._arrays[where] = self._array(value.content, where)
            return
        if not isinstance(value, dict) or len(path) >= _MAX_DEPTH:
            raise _Refused(f"{where} is neither a dict nor an array")
        # Dicts in dicts that share what they hold would be followed by paths without end.
        if id(value) in self._seen:
            raise _Refused(f"{where} is there twice")
        self._seen.add(id(value))
        for key, item in value.items():
            if not isinstance(key, str):
                raise _Refused(f"{where} has a key that is no text")
            self._collect(item, (*path, key))

    def _array(self, content: _Content, where: str) -> Array:
        if content.code not in self._types:
            raise _Refused(f"the numbers of {where} are {content.code!r}")
        self._bytes_left -= len(content.numbers)
        if self._bytes_left < 0:
            raise _Refused("its arrays share their numbers")
        numbers = content.numbers
        if isinstance(numbers, str):  # Python 2's
            numbers = numbers.encode(_BYTE_A_CHARACTER)
        return np.frombuffer(numbers, np.dtype(content.code).newbyteorder("<")).reshape(content.shape)
