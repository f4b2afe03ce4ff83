"""What a torch file holds, without running what is in it.

Pickles are read with `weights_only=True` and nothing else: a file that needs more is refused.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

import torch

from laps_export.checkpoint.bounds import unpacks_to_more
from laps_export.errors import CheckpointError

WHAT_IS_READ = "the authors' training files, their pretrained backbones, and safetensors of the same names are read"


def unpickle(path: Path) -> object:
    """The saved object.

    Raises:
        CheckpointError: `not_a_checkpoint`, `checkpoint_refused`.
    """
    _check_members(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        # torch says which class or function it refused; a file that is no pickle at all ends here too.
        refused = "global" in str(exc).lower() and (zipfile.is_zipfile(path) or _is_pickle(path))
        if not refused:
            raise not_a_checkpoint(path) from exc
        raise CheckpointError(
            f"{path.name} holds more than tensors and was refused: {_refused(exc)}",
            code="checkpoint_refused",
            hint="where you trust it, save torch.save({'state_dict': ckpt['state_dict']}, ...) from it",
        ) from exc
    except Exception as exc:  # a damaged file surfaces as any of a dozen types, depending on the byte
        raise not_a_checkpoint(path) from exc


def not_a_checkpoint(path: Path) -> CheckpointError:
    """The error of a file that is of no form that is read, or cut off."""
    size = path.stat().st_size
    what = "is empty" if size == 0 else f"({size} bytes) is neither a torch file nor safetensors, or not all of one"
    return CheckpointError(f"{path.name} {what}", code="not_a_checkpoint", hint=WHAT_IS_READ)


def _refused(exc: Exception) -> str:
    """What torch would not load; the rest of its message advises to load it all the same."""
    found = re.search(r"GLOBAL ([\w.]+)", str(exc))
    return f"it names {found[1]}" if found else "it would run code"


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == pickle.PROTO


def _check_members(path: Path) -> None:
    try:
        inflated = unpacks_to_more(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as exc:
        raise not_a_checkpoint(path) from exc
    if inflated:
        raise CheckpointError(
            f"{path.name} holds members that unpack to more than the file",
            code="checkpoint_refused",
            hint="torch.save compresses nothing: load the file where you trust it and save it again",
        )
