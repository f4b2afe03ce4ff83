"""The training loop: batches in, weights out, with a log, checkpoints and a validation score on the way.

Every frame with a label is supervised, and the clip's mean besides, since the mean is what a server ranks by.
The rate follows a cosine over steps, or over minutes where only time is given.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from laps_export.data.batches import Batch
from laps_export.data.camera_motion import IGNORED
from laps_export.data.clips import Clip
from laps_export.errors import TrainingError
from laps_export.families.laps.visformer import Laps
from laps_export.families.normalise import Normalise
from laps_export.train.scoring import Scores, score

OnProgress = Callable[[str, float], None]
"""Called with what is being done and the share of the run that is done."""

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"
_EVALUATION_BATCH = 32
_ROUNDING = 0.2  # of the logits' spread; bfloat16 leaves about 0.02, a wrong convolution more than 1


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How weights are learned.

    Attributes:
        steps: length of the run; None where `minutes` decides.
        minutes: length of the run; None where `steps` decides. One of the two must be given.
        peak_rate: highest learning rate.
        warmup: share of the run over which the rate rises.
        weight_decay: of matrices; norms, biases and positions have none.
        clip_norm: longest gradient.
        ema: decay of the averaged weights, which are what is kept.
        clip_weight: of the clip's loss beside the frames' loss.
        smoothing: of labels.
        evaluations: how often the validation set is scored.
        checkpoint_s: seconds between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    peak_rate: float = 6e-4
    warmup: float = 0.04
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema: float = 0.998
    clip_weight: float = 0.5
    smoothing: float = 0.0
    evaluations: int = 8
    checkpoint_s: float = 60.0

    def __post_init__(self) -> None:
        """Raise `TrainingError` unless exactly one length is given."""
        given = [value for value in (self.steps, self.minutes) if value is not None]
        if len(given) != 1 or given[0] <= 0:
            raise TrainingError(
                f"steps {self.steps}, minutes {self.minutes}",
                code="invalid_length",
                hint="give one of the two, above 0",
            )


@dataclass(frozen=True)
class EvaluationSet:
    """Clips that are scored again and again: uint8 `[N, T, H, W, 3]`, `[N]`, `[N, T]`, `[N]`."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    frame_labels: NDArray[np.int64]
    travel: NDArray[np.float64]

    @classmethod
    def of(cls, clips: Iterator[Clip]) -> EvaluationSet:
        """Stack clips."""
        kept = list(clips)
        return cls(
            frames=np.stack([clip.frames for clip in kept]),
            labels=np.array([int(clip.label) for clip in kept], dtype=np.int64),
            frame_labels=np.stack([clip.frame_labels for clip in kept]),
            travel=np.array([clip.travel for clip in kept]),
        )


class Batches(Protocol):
    """Anything endless that gives batches."""

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass
class State:
    """A run at one moment."""

    model: Laps
    averaged: Laps
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0
    extended_at: tuple[int, ...] = ()
    """Steps at which the run was resumed with another length than it had."""


def precision_for(model: Laps, device: torch.device) -> torch.dtype:
    """bfloat16 where it computes what float32 does on this machine, else float32.

    Not to be taken for granted: on processors with AMX, torch 2.13's bfloat16 convolution of 16 channels with a 4 x 4
    kernel and stride 4 returns something else altogether, without an error. A network trains on that as well, and is
    worthless wherever the arithmetic is right.
    """
    config = model.config
    generator = torch.Generator().manual_seed(0)
    shape = (2, config.frames, 3, config.resolution, config.resolution)
    clips = torch.randn(shape, generator=generator).to(device)
    training = model.training
    model.eval()
    with torch.inference_mode():
        exact = model(clips)
        with torch.autocast(device.type, torch.bfloat16):
            rounded = model(clips).float()
    model.train(training)
    agrees = bool((exact - rounded).std() < _ROUNDING * exact.std())
    return torch.bfloat16 if agrees else torch.float32


def new_state(model: Laps, settings: LoopSettings) -> State:
    """A run before its first step."""
    # Convolutions of frames whose channels lie together are twice as fast on a CPU.
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    decayed = [p for name, p in model.named_parameters() if p.dim() > 1 and "pos_embed" not in name]
    plain = [p for name, p in model.named_parameters() if p.dim() <= 1 or "pos_embed" in name]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=settings.peak_rate,
        betas=(0.9, 0.999),
        fused=True,
    )
    return State(model, averaged, optimizer)


def save_state(state: State, folder: Path, notes: dict[str, Any]) -> None:
    """Write the checkpoint that `load_state` reads, whole or not at all."""
    partial = folder / f"{CHECKPOINT_NAME}.partial"
    torch.save(
        {
            "model": state.model.state_dict(),
            "averaged": state.averaged.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "elapsed_s": state.elapsed_s,
            "extended_at": list(state.extended_at),
            "notes": json.dumps(notes),
        },
        partial,
    )
    partial.rename(folder / CHECKPOINT_NAME)


def load_state(state: State, folder: Path, notes: dict[str, Any]) -> None:
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
            state.model.load_state_dict(saved["model"])
            state.averaged.load_state_dict(saved["averaged"])
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


def run(
    state: State,
    batches: Batches,
    evaluation: EvaluationSet,
    settings: LoopSettings,
    *,
    folder: Path,
    notes: dict[str, Any],
    device: torch.device,
    on_progress: OnProgress,
) -> Scores:
    """Train to the end of the schedule; the averaged weights' last score.

    Args:
        state: where to begin; changed in place.
        batches: endless.
        evaluation: scored at even distances and at the end.
        settings: how.
        folder: takes log and checkpoint.
        notes: what the checkpoint says of its run.
        device: where to compute.
        on_progress: told of every step.

    Raises:
        TrainingError: `not_finite`, the loss is no number any more.
    """
    normalise = Normalise().to(device)
    state.model.to(device).train()
    state.averaged.to(device)
    precision = precision_for(state.model, device)
    began = time.monotonic() - state.elapsed_s
    saved = time.monotonic()
    scored = math.floor(_progress(state, settings) * settings.evaluations)
    sums = np.zeros(4)
    seen_from, seen_at = state.step, state.elapsed_s
    with (folder / LOG_NAME).open("a", encoding="utf-8") as log:
        _write(log, state, _progress(state, settings), "start", {"precision": str(precision).removeprefix("torch.")})
        for batch in batches:
            progress = _progress(state, settings)
            if progress >= 1:
                break
            rate = learning_rate(progress, settings)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            sums += _step(state, batch, normalise, settings, device, precision=precision)
            state.step += 1
            state.elapsed_s = time.monotonic() - began
            if not np.isfinite(sums).all():
                raise TrainingError(
                    f"the loss is not finite at step {state.step}", code="not_finite", hint="try a lower peak rate"
                )
            if state.step % 20 == 0:
                mean = sums / (state.step - seen_from)
                speed = (state.step - seen_from) * len(batch[0]) / max(state.elapsed_s - seen_at, 1e-9)
                _write(log, state, progress, "train", {**_named(mean), "rate": rate, "clips_per_s": round(speed, 1)})
                on_progress(f"step {state.step}, loss {mean[0]:.3f}, {speed:.0f} clips/s", progress)
                sums[:], seen_from, seen_at = 0, state.step, state.elapsed_s
            if math.floor(progress * settings.evaluations) > scored:
                scored = math.floor(progress * settings.evaluations)
                _write(log, state, progress, "validation", evaluate(state.averaged, evaluation, device).to_json())
            if time.monotonic() - saved > settings.checkpoint_s:
                save_state(state, folder, notes)
                saved = time.monotonic()
        scores = evaluate(state.averaged, evaluation, device)
        _write(log, state, 1.0, "validation", scores.to_json())
    save_state(state, folder, notes)
    return scores


def learning_rate(progress: float, settings: LoopSettings) -> float:
    """A linear rise, then a cosine to a hundredth of the peak."""
    if progress < settings.warmup:
        return settings.peak_rate * (progress + 0.01) / (settings.warmup + 0.01)
    share = (progress - settings.warmup) / max(1 - settings.warmup, 1e-9)
    return settings.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def evaluate(model: Laps, evaluation: EvaluationSet, device: torch.device, *, temperature: float = 1.0) -> Scores:
    """Score a model on fixed clips."""
    logits = frame_logits(model, evaluation.frames, device)
    return score(logits, evaluation.labels, evaluation.frame_labels, evaluation.travel, temperature=temperature)


def frame_logits(model: Laps, frames: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """uint8 `[N, T, H, W, 3]` to float32 `[N, T, K]`, in batches; the model's mode is restored.

    In float32, as the exported graph will compute.
    """
    normalise = Normalise().to(device)
    training = model.training
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(frames), _EVALUATION_BATCH):
            clips = torch.from_numpy(frames[start : start + _EVALUATION_BATCH]).to(device)
            parts.append(model(normalise(clips)).float().cpu().numpy())
    model.train(training)
    return np.concatenate(parts)


def _progress(state: State, settings: LoopSettings) -> float:
    if settings.steps is not None:
        return state.step / settings.steps
    return state.elapsed_s / (60 * (settings.minutes or 1.0))


def _step(
    state: State,
    batch: Batch,
    normalise: nn.Module,
    settings: LoopSettings,
    device: torch.device,
    *,
    precision: torch.dtype,
) -> NDArray[np.float64]:
    """One update; loss, frame accuracy, clip accuracy, gradient norm."""
    batch = Batch(*(part.to(device, non_blocking=True) for part in batch))
    frames, frame_labels, labels = batch.frames, batch.frame_labels, batch.labels
    with torch.autocast(device.type, torch.bfloat16, enabled=precision is torch.bfloat16):
        logits = state.model(normalise(frames))  # [B, T, K]
    logits = logits.float()
    loss = _loss(logits, frame_labels, labels, settings)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_norm)
    state.optimizer.step()
    _average(state, settings.ema)
    with torch.no_grad():
        counted = frame_labels != IGNORED
        frame_right = (logits.argmax(-1) == frame_labels)[counted].float().mean()
        clip_right = (logits.mean(1).argmax(-1) == labels).float().mean()
    return np.array([loss.item(), frame_right.item(), clip_right.item(), norm.item()])


def _loss(logits: Tensor, frame_labels: Tensor, labels: Tensor, settings: LoopSettings) -> Tensor:
    frame_loss = functional.cross_entropy(
        logits.flatten(0, 1), frame_labels.flatten(), ignore_index=IGNORED, label_smoothing=settings.smoothing
    )
    clip_loss = functional.cross_entropy(logits.mean(1), labels, label_smoothing=settings.smoothing)
    return frame_loss + settings.clip_weight * clip_loss


def _average(state: State, decay: float) -> None:
    """Move the averaged weights and batch statistics towards the model's."""
    # Early on the average would be of starting weights.
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        theirs, ours = state.model.state_dict(), state.averaged.state_dict()
        moving = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in moving], [theirs[name] for name in moving], 1 - decay)


def _named(mean: NDArray[np.float64]) -> dict[str, float]:
    names = ("loss", "frame_accuracy", "clip_accuracy", "gradient_norm")
    return {name: round(float(value), 5) for name, value in zip(names, mean, strict=True)}


def _write(log: Any, state: State, progress: float, event: str, values: dict[str, Any]) -> None:
    row = {"event": event, "step": state.step, "elapsed_s": round(state.elapsed_s, 2), "progress": round(progress, 5)}
    log.write(json.dumps({**row, **values}) + "\n")
    log.flush()


def settings_json(*parts: Any) -> dict[str, Any]:
    """Several frozen settings as one flat, JSON-able dict for provenance."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged.update(asdict(part))
    return merged
