"""Weights as Caffe2's training code saved them: a pickle of Python 2, of dicts of numpy's arrays, without torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from laps_export.families.numpy_pickle import NUMBERS, read_arrays

_BEGINNING = b"\x80\x02}"  # protocol 2, a dict; torch's files begin with a zip archive's bytes or with a number


def is_array_pickle(path: Path) -> bool:
    """Whether a file begins as such a pickle does."""
    with path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


def read_array_pickle(path: Path) -> dict[str, dict[str, Tensor]]:
    """What is under each key of the outer dict, names to tensors.

    Raises:
        CheckpointError: `not_a_checkpoint`, `checkpoint_refused`.
    """
    saved: dict[str, dict[str, Tensor]] = {}
    for place, values in read_arrays(path.read_bytes(), name=path.name, types=NUMBERS).items():
        key, _, name = place.partition(".")
        saved.setdefault(key, {})[name] = torch.from_numpy(values.copy())
    return saved
