"""From photographs to a model_repository entry: the whole recipe behind the shipped model, as one function."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from laps_export.checkpoint.reading import read_checkpoint, save_checkpoint
from laps_export.data.batches import BATCHES_A_BLOCK, BatchStream, StreamSettings, loader
from laps_export.data.camera_motion import LABEL_SET, CameraMotion
from laps_export.data.clips import ClipMaker, ClipSettings, fixed_set, load_world
from laps_export.data.photographs import DEBIAN_ROOT, Collection, Split, find_photographs
from laps_export.errors import TrainingError
from laps_export.families.laps import variants as registry
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.starting_weights.initialise import initialise
from laps_export.repository.label_set import load_labels
from laps_export.repository.manifest import Origin, Serving
from laps_export.repository.write_version import Bundle, Written, write_bundle
from laps_export.train.loop import (
    CHECKPOINT_NAME,
    EvaluationSet,
    LoopSettings,
    OnProgress,
    evaluate,
    frame_logits,
    load_state,
    new_state,
    run,
)
from laps_export.train.scoring import Scores, fit_temperature

WEIGHTS_NAME = "model.safetensors"
_EVALUATION_SEED = 20220712


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All arguments of a run; two runs with the same recipe and steps see the same clips.

    Attributes:
        loop: how weights are learned.
        variant: row of the registry.
        seed: of weights and clips.
        stride: frames of the video between two of a clip.
        batch: clips in a batch.
        uses: batches that each rendered clip stands in.
        easy_batches: over which the clips grow difficult.
        coded_share: of clips that go through a real codec.
        evaluation_clips: of the validation set on the way.
        final_clips: of the validation set at the end.
        waves: whether the first layers begin as cosines, see `initialise`.
        workers: processes that make clips; part of the recipe, since blocks are dealt to them in turn.
        threads: of the training itself; None leaves torch's own.
        debian_root: where Debian's packages lie.
    """

    loop: LoopSettings
    variant: str = "laps_nano"
    seed: int = 0
    stride: int = 4
    batch: int = 24
    uses: int = 2
    easy_batches: int = 1200
    coded_share: float = 0.1
    evaluation_clips: int = 500
    final_clips: int = 2000
    waves: bool = True
    workers: int = 1
    threads: int | None = None
    debian_root: Path = DEBIAN_ROOT

    def to_json(self) -> dict[str, Any]:
        """JSON-able, for provenance and for recognising a run again."""
        return {**asdict(self), "debian_root": str(self.debian_root)}


@dataclass(frozen=True)
class Trained:
    """What a run gave: the weights' file, the scores on validation clips and the temperature fitted there."""

    weights: Path
    scores: Scores
    temperature: float
    notes: dict[str, Any] = field(default_factory=dict)


def train(recipe: Recipe, folder: Path, *, cache: Path | None, resume: bool, on_progress: OnProgress) -> Trained:
    """Train, score and calibrate one model.

    Args:
        recipe: how.
        folder: takes log, checkpoint and weights; made where it is missing.
        cache: folder for shrunk photographs, or None.
        resume: go on with the checkpoint in `folder`.
        on_progress: told of every step.

    Raises:
        ConfigError: unknown variant.
        DataError: photographs are missing.
        TrainingError: `run_exists`, `cannot_resume` or `not_finite`.
    """
    config = registry.variant_config(recipe.variant, classes=len(load_labels(LABEL_SET)))
    if (folder / CHECKPOINT_NAME).exists() and not resume:
        raise TrainingError(
            f"{folder} holds a run already", code="run_exists", hint="--resume goes on with it; or name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    on_progress("finding photographs", 0.0)
    photographs = find_photographs(debian_root=recipe.debian_root)
    validation = make_maker(recipe, config, photographs, Split.VAL, cache)
    on_progress("making validation clips", 0.0)
    evaluation = EvaluationSet.of(fixed_set(validation, count=recipe.evaluation_clips, seed=_EVALUATION_SEED))

    model = registry.build(recipe.variant, classes=config.classes)
    initialise(model, seed=recipe.seed, waves=recipe.waves)
    state = new_state(model, recipe.loop)
    notes = {**recipe.to_json(), "photographs": photographs.sha256}
    if resume:
        load_state(state, folder, notes)
    stream = BatchStream(
        partial(make_maker, recipe, config, photographs, Split.TRAIN, cache),
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
        loader(stream, workers=recipe.workers),
        evaluation,
        recipe.loop,
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
        "recipe": {
            **recipe.to_json(),
            "steps_done": state.step,
            "extended_at": list(state.extended_at),
            "train_seconds": round(state.elapsed_s, 1),
            "cores": os.cpu_count(),
            "device": device.type,
            "packages": photographs.versions,
            "photographs": {str(split): len(photographs.of(split)) for split in Split},
            "photographs_sha256": photographs.sha256,
        },
    }
    weights = folder / WEIGHTS_NAME
    save_checkpoint(weights, state.averaged.cpu(), variant=recipe.variant, notes=trained_notes)
    return Trained(weights, scores, temperature, trained_notes)


def export(
    trained: Trained, *, name: str, stride: int, default_views: str, repository: Path, version: int | None, force: bool
) -> Written:
    """Write a trained model into a model_repository, after the parity gate.

    Raises:
        RepositoryError, GraphError, ParityError: as `write_bundle`.
    """
    checkpoint = read_checkpoint(trained.weights)
    variant = checkpoint.variant or ""
    model = registry.build(variant, classes=len(load_labels(LABEL_SET)))
    model.load_state_dict(dict(checkpoint.state))
    return write_bundle(
        Bundle(
            model=model,
            variant=variant,
            labels=load_labels(LABEL_SET),
            name=name,
            origin=Origin(
                checkpoint=checkpoint,
                metrics=checkpoint.notes.get("metrics", {}),
                recipe=checkpoint.notes.get("recipe", {}),
            ),
            # A clip that wraps runs motion backwards, which is another label.
            serving=Serving(
                default_views=default_views,
                stride=stride,
                temperature=round(trained.temperature, 4),
                sampling="uniform_in_order",
            ),
            version=version,
            force=force,
        ),
        repository,
    )


def make_maker(
    recipe: Recipe, config: LapsConfig, photographs: Collection, split: Split, cache: Path | None
) -> ClipMaker:
    """Load a split's pictures and set how its clips are made."""
    training = split is Split.TRAIN
    settings = ClipSettings(
        frames=config.frames, size=config.resolution, stride=recipe.stride, coded_share=recipe.coded_share
    )
    if not training:
        # Truth is told by photographs, and files are always coded.
        settings = replace(settings, texture_share=0.0, coded_share=max(0.3, recipe.coded_share))
    world = load_world(photographs, split, cache=cache, textures=24 if training else 0, seed=recipe.seed)
    return ClipMaker(world, settings)


def _half(evaluation: EvaluationSet, which: int) -> EvaluationSet:
    # By rounds of all motions, so that both halves hold every one equally often.
    rows = np.flatnonzero(np.arange(len(evaluation.labels)) // len(CameraMotion) % 2 == which)
    return EvaluationSet(
        evaluation.frames[rows], evaluation.labels[rows], evaluation.frame_labels[rows], evaluation.travel[rows]
    )
