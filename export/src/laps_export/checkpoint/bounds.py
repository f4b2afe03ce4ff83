"""What a weight file may claim: nothing that takes more memory than the file has bytes, and no odd JSON.

Reading weights runs no code of theirs, but a kilobyte can name a tensor of terabytes, an archive can unpack to a
thousand times its size, and JSON can be nested until a reader's stack ends.
"""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_ZIP_MAGIC = b"PK\x03\x04"
_MAX_DEPTH = 32  # the server's JSON reader ends at 200


def unpacks_to_more(path: Path) -> bool:
    """Whether an archive has compressed members, or members that share bytes; False for other files.

    Raises:
        BadZipFile, NotImplementedError, OSError, ValueError: it begins as an archive and is none.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            return False
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    return packed or sum(member.file_size for member in members) > path.stat().st_size


def is_plain(tensor: Tensor) -> bool:
    """Dense numbers on the CPU, every element in a place of its own, at least one."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_nested:
        return False
    return 0 < tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def kind_of(value: object) -> str:
    """What to call a value that is no plain tensor."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{list(value.shape)} of {value.dtype}, {value.device}"


def read_object(text: str) -> dict[str, Any]:
    """A JSON object that every reader of the manifest will read too: finite numbers, not too deep.

    Raises:
        TypeError, ValueError, RecursionError: it is none.
    """
    value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    if not isinstance(value, dict):
        raise TypeError("no JSON object")
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        inner = (x for x in level if isinstance(x, (dict, list)))
        level = [y for x in inner for y in (x.values() if isinstance(x, dict) else x)]
    if level:
        raise ValueError(f"nested deeper than {_MAX_DEPTH}")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number that JSON has")
    return value
