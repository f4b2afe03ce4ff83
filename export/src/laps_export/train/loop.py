"""The training loop: batches in, weights out, with a log, checkpoints and a validation score on the way.

Every frame with a label is supervised, and the clip's mean besides, since the mean is what a server ranks by.
The rate follows a cosine over steps, or over minutes where only time is given.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from laps_export.data.batches import Batch
from laps_export.data.camera_motion import IGNORED
from laps_export.errors import TrainingError
from laps_export.families.family import VideoModel
from laps_export.families.normalise import Normalise
from laps_export.progress import OnShare
from laps_export.train.evaluation import EvaluationSet, evaluate
from laps_export.train.run_state import RunState, save_state
from laps_export.train.scoring import Scores
from laps_export.train.training_settings import LoopSettings

LOG_NAME = "log.jsonl"
_ROUNDING = 0.2  # of the logits' spread; bfloat16 leaves about 0.02, a wrong convolution more than 1
_LOG_STEPS = 20  # updates between two lines of the log


class Batches(Protocol):
    """Anything endless that gives batches."""

    def __iter__(self) -> Iterator[Batch]: ...


def precision_for(model: VideoModel, device: torch.device) -> torch.dtype:
    """bfloat16 where it computes what float32 does on this machine, else float32.

    Not to be taken for granted: on processors with AMX, torch 2.13's bfloat16 convolution of 16 channels with a 4 x 4
    kernel and stride 4 returns something else altogether, without an error. A network trains on that as well, and is
    worthless wherever the arithmetic is right.
    """
    config, network = model.config, model.network
    generator = torch.Generator().manual_seed(0)
    shape = (2, config.frames, 3, config.resolution, config.resolution)
    clips = torch.randn(shape, generator=generator).to(device)
    training = network.training
    network.eval()
    with torch.inference_mode():
        exact = network(clips)
        with torch.autocast(device.type, torch.bfloat16):
            rounded = network(clips).float()
    network.train(training)
    agrees = bool((exact - rounded).std() < _ROUNDING * exact.std())
    return torch.bfloat16 if agrees else torch.float32


def run(
    state: RunState,
    *,
    batches: Batches,
    evaluation: EvaluationSet,
    settings: LoopSettings,
    folder: Path,
    notes: dict[str, Any],
    device: torch.device,
    on_progress: OnShare,
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
        on_progress: called as it goes on.

    Raises:
        TrainingError: `not_finite`, the loss is no number any more.
    """
    normalise = Normalise(state.model.family.pixels).to(device)
    state.model.network.to(device).train()
    state.averaged.network.to(device)
    precision = precision_for(state.model, device)
    # Time goes on where a resumed run stopped.
    began = time.monotonic() - state.elapsed_s
    saved = time.monotonic()
    scored = math.floor(_progress(state, settings) * settings.evaluations)
    sums = np.zeros(4)
    seen_from, seen_at = state.step, state.elapsed_s
    with (folder / LOG_NAME).open("a", encoding="utf-8") as log:
        begin = {"precision": str(precision).removeprefix("torch.")}
        _write(log, "start", begin, state=state, progress=_progress(state, settings))
        for batch in batches:
            progress = _progress(state, settings)
            if progress >= 1:
                break
            # One update at the rate of this moment.
            rate = learning_rate(progress, settings)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            sums += _step(state, batch, normalise=normalise, settings=settings, device=device, precision=precision)
            state.step += 1
            state.elapsed_s = time.monotonic() - began
            if not np.isfinite(sums).all():
                raise TrainingError(
                    f"the loss is not finite at step {state.step}", code="not_finite", hint="try a lower peak rate"
                )
            # Log, score and save, each at its own distance.
            if state.step % _LOG_STEPS == 0:
                mean = sums / (state.step - seen_from)
                speed = (state.step - seen_from) * len(batch[0]) / max(state.elapsed_s - seen_at, 1e-9)
                values = {**_named(mean), "rate": rate, "clips_per_s": round(speed, 1)}
                _write(log, "train", values, state=state, progress=progress)
                on_progress(f"step {state.step}, loss {mean[0]:.3f}, {speed:.0f} clips/s", progress)
                sums[:], seen_from, seen_at = 0, state.step, state.elapsed_s
            if math.floor(progress * settings.evaluations) > scored:
                scored = math.floor(progress * settings.evaluations)
                values = evaluate(state.averaged, evaluation, device).to_json()
                _write(log, "validation", values, state=state, progress=progress)
            if time.monotonic() - saved > settings.checkpoint_s:
                save_state(state, folder, notes)
                saved = time.monotonic()
        scores = evaluate(state.averaged, evaluation, device)
        _write(log, "validation", scores.to_json(), state=state, progress=1.0)
    save_state(state, folder, notes)
    return scores


def learning_rate(progress: float, settings: LoopSettings) -> float:
    """A linear rise, then a cosine to a hundredth of the peak."""
    if progress < settings.warmup:
        return settings.peak_rate * (progress + 0.01) / (settings.warmup + 0.01)
    share = (progress - settings.warmup) / max(1 - settings.warmup, 1e-9)
    return settings.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def _progress(state: RunState, settings: LoopSettings) -> float:
    if settings.steps is not None:
        return state.step / settings.steps
    return state.elapsed_s / (60 * (settings.minutes or 1.0))


def _step(
    state: RunState,
    batch: Batch,
    *,
    normalise: nn.Module,
    settings: LoopSettings,
    device: torch.device,
    precision: torch.dtype,
) -> NDArray[np.float64]:
    """One update; loss, frame accuracy, clip accuracy, gradient norm."""
    batch = Batch(*(part.to(device, non_blocking=True) for part in batch))
    frames, frame_labels, labels = batch.frames, batch.frame_labels, batch.labels
    with torch.autocast(device.type, torch.bfloat16, enabled=precision is torch.bfloat16):
        logits = state.model.network(normalise(frames))  # [B, T, K]
    logits = logits.float()
    loss = _loss(logits, batch, settings)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.model.network.parameters(), settings.clip_norm)
    state.optimizer.step()
    _average(state, settings.ema)
    with torch.no_grad():
        counted = frame_labels != IGNORED
        frame_right = (logits.argmax(-1) == frame_labels)[counted].float().mean()
        clip_right = (logits.mean(1).argmax(-1) == labels).float().mean()
    return np.array([loss.item(), frame_right.item(), clip_right.item(), norm.item()])


def _loss(logits: Tensor, batch: Batch, settings: LoopSettings) -> Tensor:
    frame_loss = functional.cross_entropy(
        logits.flatten(0, 1), batch.frame_labels.flatten(), ignore_index=IGNORED, label_smoothing=settings.smoothing
    )
    clip_loss = functional.cross_entropy(logits.mean(1), batch.labels, label_smoothing=settings.smoothing)
    return frame_loss + settings.clip_weight * clip_loss


def _average(state: RunState, decay: float) -> None:
    """Move the averaged weights and batch statistics towards the model's."""
    # Early on the average would be of starting weights.
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        theirs, ours = state.model.network.state_dict(), state.averaged.network.state_dict()
        moving = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in moving], [theirs[name] for name in moving], 1 - decay)


def _named(mean: NDArray[np.float64]) -> dict[str, float]:
    names = ("loss", "frame_accuracy", "clip_accuracy", "gradient_norm")
    return {name: round(float(value), 5) for name, value in zip(names, mean, strict=True)}


def _write(log: TextIO, event: str, values: dict[str, Any], *, state: RunState, progress: float) -> None:
    row = {"event": event, "step": state.step, "elapsed_s": round(state.elapsed_s, 2), "progress": round(progress, 5)}
    log.write(json.dumps({**row, **values}) + "\n")
    log.flush()
