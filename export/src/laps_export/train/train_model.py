"""From photographs to a model_repository entry: the whole recipe behind the shipped model, as one function."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.checkpoint.safetensors_file import save_checkpoint
from laps_export.data.batches import BATCHES_A_BLOCK, BatchStream, loader
from laps_export.data.camera_motion import LABEL_SET, CameraMotion
from laps_export.data.clip_settings import ClipSettings, StreamSettings
from laps_export.data.clips import ClipMaker, fixed_set, load_pool
from laps_export.data.photographs import Collection, Split, find_photographs
from laps_export.errors import ConfigError, TrainingError
from laps_export.families import registry
from laps_export.families.family import ModelConfig
from laps_export.progress import OnShare
from laps_export.repository.label_set import load_labels
from laps_export.repository.manifest import WeightOrigin
from laps_export.repository.serving import Serving
from laps_export.repository.write_version import VersionRequest, WrittenVersion, write_version
from laps_export.train.evaluation import EvaluationSet, evaluate, frame_logits
from laps_export.train.loop import run
from laps_export.train.motion_outputs import MOTION_OUTPUTS
from laps_export.train.run_state import CHECKPOINT_NAME, RunState, load_state, new_state
from laps_export.train.scoring import Scores, fit_temperature
from laps_export.train.training_settings import EntrySettings, TrainingRecipe

WEIGHTS_NAME = "model.safetensors"
_EVALUATION_SEED = 20220712


@dataclass(frozen=True)
class Trained:
    """What a run gave: the weights' file, the scores on validation clips and the temperature fitted there."""

    weights: Path
    scores: Scores
    temperature: float
    notes: dict[str, Any] = field(default_factory=dict)


def train_model(
    recipe: TrainingRecipe, folder: Path, *, cache: Path | None, resume: bool, on_progress: OnShare
) -> Trained:
    """Train, score and calibrate one model.

    Args:
        recipe: how.
        folder: takes log, checkpoint and weights; made where it is missing.
        cache: folder for shrunk photographs, or None.
        resume: go on with the checkpoint in `folder`.
        on_progress: called as it goes on.

    Raises:
        ConfigError: `unknown_variant`, or `not_trainable` here.
        DataError: photographs are missing.
        TrainingError: `run_exists`, `cannot_resume` or `not_finite`.
    """
    classes = len(load_labels(LABEL_SET))
    family, row = registry.find_variant(recipe.variant, classes=classes)
    if family.training is None:
        raise ConfigError(
            f"the family {family.name} has no weights to start from", code="not_trainable", hint="another --variant"
        )
    if (folder / CHECKPOINT_NAME).exists() and not resume:
        raise TrainingError(
            f"{folder} holds a run already", code="run_exists", hint="--resume goes on with it; or name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # What is looked at: photographs, and clips of those kept for validation.
    on_progress("finding photographs", 0.0)
    photographs = find_photographs(debian_root=recipe.debian_root)
    make = partial(make_maker, recipe, row.config, photographs=photographs, cache=cache)
    validation = make(Split.VAL)
    on_progress("making validation clips", 0.0)
    evaluation = EvaluationSet.of(fixed_set(validation, count=recipe.evaluation_clips, seed=_EVALUATION_SEED))

    # What is trained, from its start or from where a run stopped.
    model = registry.build(recipe.variant, classes=classes)
    family.training.initialise(model.network, seed=recipe.seed, waves=recipe.waves, outputs=MOTION_OUTPUTS)
    state = new_state(model, recipe.loop)
    notes = {**recipe.to_json(), "photographs": photographs.sha256}
    if resume:
        load_state(state, folder, notes)
    stream = BatchStream(
        partial(make, Split.TRAIN),
        StreamSettings(
            seed=recipe.seed,
            batch=recipe.batch,
            uses=recipe.uses,
            easy_batches=recipe.easy_batches,
            first_block=state.step // BATCHES_A_BLOCK,
        ),
    )
    run(
        state,
        batches=loader(stream, workers=recipe.workers),
        evaluation=evaluation,
        settings=recipe.loop,
        folder=folder,
        notes=notes,
        device=device,
        on_progress=on_progress,
    )

    on_progress("calibrating", 1.0)
    # Another seed than on the way: the temperature is fitted on one half and reported on the other.
    last = fixed_set(validation, count=recipe.final_clips, seed=_EVALUATION_SEED + 1)
    final = EvaluationSet.of(last)
    half = _half(final, 0)
    temperature = fit_temperature(frame_logits(state.averaged, half.frames, device), half.labels)
    scores = evaluate(state.averaged, _half(final, 1), device, temperature=temperature)
    trained_notes = {
        "metrics": {"validation": scores.to_json(), "temperature": round(temperature, 4)},
        "recipe": {**recipe.to_json(), **_run_facts(state, device), **_photograph_facts(photographs)},
    }
    weights = folder / WEIGHTS_NAME
    state.averaged.network.cpu()
    save_checkpoint(weights, state.averaged, notes=trained_notes)
    return Trained(weights, scores, temperature, trained_notes)


def export_trained(trained: Trained, entry: EntrySettings, *, stride: int) -> WrittenVersion:
    """Write a trained model into a model_repository, after the parity gate.

    Args:
        trained: what a run gave.
        entry: where and how it is written.
        stride: frames of the video between two of a clip, as the model was trained.

    Raises:
        RepositoryError, GraphError, ParityError: as `write_version`.
    """
    checkpoint = read_checkpoint(trained.weights)
    labels = load_labels(LABEL_SET)
    model = registry.build(checkpoint.variant or "", classes=len(labels))
    load_weights(model, checkpoint)
    request = VersionRequest(
        model=model,
        labels=labels,
        name=entry.name,
        origin=WeightOrigin(
            checkpoint=checkpoint,
            metrics=checkpoint.notes.get("metrics", {}),
            recipe=checkpoint.notes.get("recipe", {}),
        ),
        serving=Serving(
            default_views=entry.default_views,
            stride=stride,
            temperature=round(trained.temperature, 4),
            sampling=entry.sampling,
        ),
        version=entry.version,
        force=entry.force,
    )
    return write_version(request, entry.repository)


def make_maker(
    recipe: TrainingRecipe, config: ModelConfig, split: Split, *, photographs: Collection, cache: Path | None
) -> ClipMaker:
    """Load a split's pictures and set how its clips are made."""
    training = split is Split.TRAIN
    settings = ClipSettings(
        frames=config.frames, size=config.resolution, stride=recipe.stride, coded_share=recipe.coded_share
    )
    if not training:
        # Truth is in photographs, and files are always coded.
        settings = replace(settings, texture_share=0.0, coded_share=max(0.3, recipe.coded_share))
    pool = load_pool(photographs, split, cache=cache, textures=24 if training else 0, seed=recipe.seed)
    return ClipMaker(pool, settings)


def _run_facts(state: RunState, device: torch.device) -> dict[str, Any]:
    """How a run went, for provenance."""
    return {
        "steps_done": state.step,
        "extended_at": list(state.extended_at),
        "train_seconds": round(state.elapsed_s, 1),
        "cores": os.cpu_count(),
        "device": device.type,
    }


def _photograph_facts(photographs: Collection) -> dict[str, Any]:
    """What a run looked at, for provenance."""
    return {
        "packages": photographs.versions,
        "photographs": {str(split): len(photographs.of(split)) for split in Split},
        "photographs_sha256": photographs.sha256,
    }


def _half(evaluation: EvaluationSet, which: int) -> EvaluationSet:
    # By rounds of all motions, so that both halves hold every one equally often.
    rows = np.flatnonzero(np.arange(len(evaluation.labels)) // len(CameraMotion) % 2 == which)
    return EvaluationSet(
        evaluation.frames[rows], evaluation.labels[rows], evaluation.frame_labels[rows], evaluation.travel[rows]
    )
