"""The golden weights: drawn by a recipe from every parameter's name, so that no weight file is needed.

`tests/data/frame_logits.npz` and `tests/data/pipeline.npz` hold what the authors' code computed with
exactly these weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from laps_export.families import registry

AUTHORS_PREFIX = "module.base_model."
INPUT_SEED = 20220712
RESIDUAL_GAIN = 0.25
RESIDUAL_ENDS = ("mlp.conv3.weight", "attn.proj.weight")


@cache
def golden_array(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The recipe's value for one `state_dict` entry, named without prefix; shared, so do not write to it."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_mean") or "pos_embed" in name:
        values = 0.1 * rng.standard_normal(shape)
    elif name.endswith("bias"):
        values = 0.02 * rng.standard_normal(shape)
    elif name.endswith("running_var") or len(shape) == 1:
        values = rng.uniform(0.5, 1.5, shape)
    else:
        gain = RESIDUAL_GAIN if name.endswith(RESIDUAL_ENDS) else 1.0
        values = gain * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return np.asarray(values, np.float32)


def golden_state_dict(source: nn.Module | Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Golden weights for every entry of a model, or of a mapping from name to shape."""
    if isinstance(source, nn.Module):
        source = {name: tuple(value.shape) for name, value in source.state_dict().items()}
    return {name: torch.tensor(golden_array(name, tuple(shape))) for name, shape in source.items()}


def golden_input(frames: int, resolution: int) -> Tensor:
    """The input behind `frame_logits.npz`: float32 `[1, T, 3, res, res]`, already normalised."""
    shape = (frames, 3, resolution, resolution)
    noise = np.random.default_rng(INPUT_SEED).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(noise).unsqueeze(0)


def write_golden_checkpoint(
    path: Path,
    *,
    variant: str = "laps",
    classes: int | None = None,
    epoch: int = 17,
    best_acc1: float = 76.0,
) -> Path:
    """Write golden weights as the authors' training code would; the path is returned."""
    with torch.device("meta"):
        model = registry.build(variant, classes=classes).network
    state = {AUTHORS_PREFIX + name: value for name, value in golden_state_dict(model).items()}
    training = {"epoch": epoch, "state_dict": state, "best_acc1": best_acc1, "optimizer": {}, "scheduler": {}}
    torch.save(training, path)
    return path
