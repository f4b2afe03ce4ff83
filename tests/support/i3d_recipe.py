"""Weights of I3D drawn by a recipe from every array's name, so that no weight file is needed."""

from __future__ import annotations

import math
import pickle
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from laps_export.families.i3d.network import array_shapes
from laps_export.families.numpy_pickle import Array, Float32Array


@cache
def recipe_arrays() -> dict[str, Float32Array]:
    return {name: _drawn(name, shape) for name, shape in array_shapes().items()}


def as_pickle(arrays: Mapping[str, Array]) -> bytes:
    """Nested dicts of arrays, as the package's file has them."""
    return pickle.dumps(nested(arrays), protocol=4)


def nested(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """A dict for each part of a name but the last."""
    tree: dict[str, Any] = {}
    for name, values in arrays.items():
        *folders, last = name.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = values
    return tree


def _drawn(name: str, shape: tuple[int, ...]) -> Float32Array:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    channels = shape[-1:]
    if name.endswith(".mean"):
        values = 0.1 * rng.standard_normal(channels)
    elif name.endswith(".var"):
        values = rng.uniform(0.5, 1.5, channels)
    elif name.endswith(".bias"):
        values = 0.02 * rng.standard_normal(channels)
    else:
        gain = 2.0 if "0c_1x1" in name else 1.25
        values = gain * rng.standard_normal(shape) / math.sqrt(math.prod(shape[:-1]))
    return values.astype(np.float32).reshape(shape)
