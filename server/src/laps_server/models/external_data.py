"""Whether an ONNX graph draws tensors from other files: those have no hash, and may lie anywhere on the machine.

The server has no package of ONNX, so this walks the file as the protocol buffer that it is. Only the fields that lead
to tensors are looked into; weights are stepped over.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path

from laps_server.errors import ModelCorrupt

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_MAX_DEPTH = 100  # protobuf's own
_TENSOR = "TensorProto"
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto
# Of each message of onnx.proto the fields that lead to tensors.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: _TENSOR, 10: _TENSOR, 6: "GraphProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}


def refuse_external_data(path: Path, shown: str) -> None:
    """Look through an ONNX graph.

    Args:
        path: the file.
        shown: what to call it in an error.

    Raises:
        ModelCorrupt: it names other files, or is no graph.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            external = _is_external(content, 0, len(content), "ModelProto", depth=0)
    except (IndexError, ValueError) as exc:
        raise ModelCorrupt(f"{shown} cannot be loaded: it is no ONNX graph", hint="export the model again") from exc
    except OSError as exc:
        raise ModelCorrupt(f"{shown} cannot be read: {exc.strerror}") from exc
    if external:
        raise ModelCorrupt(
            f"{shown} draws weights from other files, which are not served",
            hint="export the model again with its weights inside",
        )


def _is_external(content: mmap.mmap, at: int, end: int, message: str, *, depth: int) -> bool:
    """Whether a tensor in ``content[at:end]``, a message of that name, has its data elsewhere."""
    if depth > _MAX_DEPTH:
        raise ValueError("too deep")
    inside = _FIELDS[message]
    while at < end:
        tag, at = _varint(content, at, end)
        number, kind = tag >> 3, tag & 7
        value = length = 0
        if kind == _VARINT:
            value, at = _varint(content, at, end)
        elif kind == _BYTES:
            length, at = _varint(content, at, end)
        elif kind in _FIXED_BYTES:
            length = _FIXED_BYTES[kind]
        else:  # groups, which ONNX has none of
            raise ValueError(f"wire type {kind}")
        if at + length > end:
            raise ValueError("a field is cut off")
        if message == _TENSOR and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
            return True
        if (
            kind == _BYTES
            and number in inside
            and _is_external(content, at, at + length, inside[number], depth=depth + 1)
        ):
            return True
        at += length
    return False


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place in range(_MAX_VARINT_BYTES):
        if at + place >= end:
            raise ValueError("a number is cut off")
        byte = content[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number is too long")
