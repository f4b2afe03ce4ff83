"""A training run at one moment, and the checkpoint that it can go on from."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laps_export.errors import TrainingError
from laps_export.families.family import VideoModel
from laps_export.train.training_settings import LoopSettings

CHECKPOINT_NAME = "checkpoint.pt"


@dataclass
class RunState:
    """A run at one moment.

    Attributes:
        model: what is trained.
        averaged: the same with the moving average of its weights.
        optimizer: of the model's weights.
        step: updates done.
        elapsed_s: time they took.
        extended_at: steps at which the run was resumed with another length than it had.
    """

    model: VideoModel
    averaged: VideoModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0
    extended_at: tuple[int, ...] = ()


def new_state(model: VideoModel, settings: LoopSettings) -> RunState:
    """A run before its first step."""
    # Convolutions of frames whose channels lie together are twice as fast on a CPU.
    network: nn.Module = model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        position = any(part in name for part in model.family.positions)
        (decayed if parameter.dim() > 1 and not position else plain).append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=settings.peak_rate,
        betas=(0.9, 0.999),
        fused=True,
    )
    return RunState(replace(model, network=network), replace(model, network=averaged), optimizer)


def save_state(state: RunState, folder: Path, notes: dict[str, Any]) -> None:
    """Write the checkpoint that `load_state` reads, whole or not at all."""
    partial = folder / f"{CHECKPOINT_NAME}.partial"
    torch.save(
        {
            "model": state.model.network.state_dict(),
            "averaged": state.averaged.network.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "elapsed_s": state.elapsed_s,
            "extended_at": list(state.extended_at),
            "notes": json.dumps(notes),
        },
        partial,
    )
    partial.rename(folder / CHECKPOINT_NAME)


def load_state(state: RunState, folder: Path, notes: dict[str, Any]) -> None:
    """Go on where a run of the same settings stopped; its length and its threads may differ.

    A run that had ended goes on at the rate that the new length asks for at this step, and with clips it has not seen.

    Raises:
        TrainingError: `cannot_resume`, no checkpoint, a damaged one, or one of other settings.
    """
    path = folder / CHECKPOINT_NAME
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        theirs = json.loads(saved["notes"])
        if _must_agree(theirs) == _must_agree(notes):
            state.model.network.load_state_dict(saved["model"])
            state.averaged.network.load_state_dict(saved["averaged"])
            state.optimizer.load_state_dict(saved["optimizer"])
            state.step, state.elapsed_s = saved["step"], saved["elapsed_s"]
            longer = theirs.get("loop") != notes.get("loop")
            state.extended_at = (*saved.get("extended_at", ()), *((state.step,) if longer else ()))
    except Exception as exc:  # a damaged file surfaces as any of a dozen types
        raise TrainingError(f"cannot resume from {path}: {exc}", code="cannot_resume") from exc
    ours, theirs = _must_agree(notes), _must_agree(theirs)
    different = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    if different:
        raise TrainingError(
            f"{path} is of a run with another {different[0]}", code="cannot_resume", hint="use its own settings"
        )


def _must_agree(notes: dict[str, Any]) -> dict[str, Any]:
    """Notes without a run's length and threads, which may change on the way."""
    loop = {key: value for key, value in notes.get("loop", {}).items() if key not in {"steps", "minutes"}}
    return {**{key: value for key, value in notes.items() if key != "threads"}, "loop": loop}
