"""A pickle of nested dicts of float32 arrays, read without running what is in it.

Every function that the pickle names is one of three of numpy's, and each is replaced by a stand-in of ours: no
constructor of numpy's is called with what the file says. Operations are checked before the first one runs, since some
(``LONG_BINPUT``) take memory that the file does not have.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from laps_export.errors import CheckpointError

Float32Array = npt.NDArray[np.float32]

_MAX_DIMENSIONS = 8
_MAX_DEPTH = 16
# What numpy and dicts need at protocol 4, and nothing else: no REDUCE of other classes, no PUT to a chosen place.
_OPERATIONS = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET"),
        *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
        *("BINBYTES", "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE"),
        *("STACK_GLOBAL", "REDUCE", "BUILD"),
    }
)


def read_arrays(data: bytes, *, name: str) -> dict[str, Float32Array]:
    """Arrays by the path of their keys, joined by dots; they share the file's bytes and cannot be written to.

    Args:
        data: the whole file.
        name: of the file, for messages.

    Raises:
        CheckpointError: `not_a_checkpoint`, `checkpoint_refused`.
    """
    try:
        for operation, _, _ in pickletools.genops(data):
            if operation.name not in _OPERATIONS:
                _refuse(name, f"its operation {operation.name} is not one that arrays need")
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except _Refused as exc:
        raise _refused(name, str(exc)) from exc
    except CheckpointError:
        raise
    except Exception as exc:  # a damaged pickle surfaces as any of a dozen types, depending on the byte
        raise CheckpointError(
            f"{name} ({len(data)} bytes) is no pickle of arrays, or not all of one",
            code="not_a_checkpoint",
            hint="nested dicts of float32 arrays are read",
        ) from exc
    arrays: dict[str, Float32Array] = {}
    _collect(tree, (), arrays, name)
    return arrays


class _Refused(Exception):
    """Something in the file is more than an array."""


class _ArraysOnly(pickle.Unpickler):
    """Stand-ins for the three names; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        named = (module.replace("numpy._core", "numpy.core"), name)
        if named == ("numpy.core.multiarray", "_reconstruct"):
            return _begin_array
        if named == ("numpy", "ndarray"):
            return _ArrayClass
        if named == ("numpy", "dtype"):
            return _Float32
        raise _Refused(f"it names {module}.{name}")


class _ArrayClass:
    """What stands where numpy's class is named; nobody makes one."""

    def __new__(cls, *_: object) -> NoReturn:
        """Refuse: arrays begin with ``_reconstruct``."""
        raise _Refused("it makes an array otherwise than numpy does")


class _Float32:
    """The one number type: four bytes, little-endian."""

    def __init__(self, code: object, *_: object) -> None:
        if code != "f4":
            raise _Refused(f"its numbers are {code!r}, not float32")

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or state[1:2] != ("<",):
            raise _Refused("its numbers are not little-endian")


class _Array:
    """An array on its way: what its state holds is checked and kept."""

    values: Float32Array | None = None

    def __setstate__(self, state: object) -> None:
        match state:
            case (1, tuple() as shape, _Float32(), False, bytes() as content):
                pass
            case _:
                raise _Refused("an array's state is not that of a plain float32 array")
        if len(shape) > _MAX_DIMENSIONS or not all(type(size) is int and size > 0 for size in shape):
            raise _Refused(f"an array has the shape {shape}")
        if math.prod(shape) * np.dtype("<f4").itemsize != len(content):
            raise _Refused(f"an array of {shape} has {len(content)} bytes")
        self.values = np.frombuffer(content, "<f4").reshape(shape)


def _begin_array(kind: object, shape: object, code: object) -> _Array:
    if kind is not _ArrayClass or shape != (0,) or code != b"b":
        raise _Refused("an array begins otherwise than numpy's do")
    return _Array()


def _collect(value: object, path: tuple[str, ...], into: dict[str, Float32Array], name: str) -> None:
    if isinstance(value, _Array) and value.values is not None and path:
        into[".".join(path)] = value.values
        return
    if not isinstance(value, dict) or len(path) >= _MAX_DEPTH:
        raise _refused(name, f"{'.'.join(path) or 'the whole'} is neither a dict nor an array")
    for key, item in value.items():
        if not isinstance(key, str):
            raise _refused(name, f"{'.'.join(path) or 'the whole'} has a key that is no text")
        _collect(item, (*path, key), into, name)


def _refuse(name: str, why: str) -> NoReturn:
    raise _refused(name, why)


def _refused(name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{name} holds more than arrays and was refused: {why}",
        code="checkpoint_refused",
        hint="nested dicts of float32 arrays are read",
    )
