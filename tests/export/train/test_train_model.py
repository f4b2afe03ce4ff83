"""The recipe, shrunk to a minute on two cores: the loss falls, and unseen clips are told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from laps_export.data import batches
from laps_export.data.camera_motion import CameraMotion
from laps_export.data.clip_settings import StreamSettings
from laps_export.data.clips import fixed_set
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.starting_weights.initialise import initialise
from laps_export.families.laps.visformer import Laps
from laps_export.train import train_model as training
from laps_export.train.evaluation import EvaluationSet, evaluate
from laps_export.train.loop import LOG_NAME, run
from laps_export.train.motion_outputs import MOTION_OUTPUTS
from laps_export.train.run_state import new_state
from laps_export.train.training_settings import EntrySettings, LoopSettings, TrainingRecipe
from support.small_laps import as_model, config_of
from support.small_picture_pool import easy_maker, small_picture_pool

SIZE = 64
STEPS = 60


def _quiet(*_: object) -> None:
    """Progress that nobody asked for."""


def _model_config() -> LapsConfig:
    nano = config_of("laps_nano", classes=len(CameraMotion))
    return replace(nano, resolution=SIZE, depths=(1, 2, 2), levels=((1, 3), (2, 1)))


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """On a busy machine two threads wait for each other at every operator."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_one_thread")
def test_a_minute_of_training_beats_chance(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = as_model(Laps(_model_config()))
    initialise(model.network, seed=0, waves=True, outputs=MOTION_OUTPUTS)
    loop = LoopSettings(steps=STEPS, peak_rate=1.5e-3, ema=0.95)
    stream = batches.BatchStream(partial(easy_maker, SIZE), StreamSettings(seed=1, batch=16, uses=4))
    evaluation = EvaluationSet.of(fixed_set(easy_maker(SIZE), count=200, seed=7))
    before = evaluate(model, evaluation, torch.device("cpu"))
    scores = run(
        new_state(model, loop),
        batches=batches.loader(stream, workers=1),
        evaluation=evaluation,
        settings=loop,
        folder=tmp_path,
        notes={},
        device=torch.device("cpu"),
        on_progress=_quiet,
    )
    rows = [json.loads(line) for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["event"] == "train"]
    assert losses[-1] < 0.75 * losses[0]
    assert scores.interval[0] > 0.4  # chance is 0.1
    assert scores.top1 > before.top1 + 0.1  # the start tells pans and tilts apart; the rest was learned


@pytest.mark.usefixtures("small_variant", "_one_thread")
def test_the_recipe_goes_from_photographs_to_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "load_pool", lambda *_, **__: small_picture_pool())
    recipe = TrainingRecipe(
        loop=LoopSettings(steps=2),
        variant="small",
        waves=False,
        batch=4,
        evaluation_clips=10,
        final_clips=40,
        workers=0,
    )
    trained = training.train_model(recipe, tmp_path / "run", cache=None, resume=False, on_progress=_quiet)
    written = training.export_trained(trained, EntrySettings(repository=tmp_path / "models"), stride=4)
    manifest = json.loads((written.path / "laps.json").read_text())
    assert manifest["labels"]["name"] == "camera-motion"
    assert manifest["temperature"] == pytest.approx(trained.temperature, abs=1e-3)
    assert manifest["inputs"][0]["stride"] == 4
    assert manifest["sampling"] == "uniform_in_order"
    provenance = manifest["provenance"]
    assert provenance["recipe"]["seed"] == 0
    assert provenance["recipe"]["loop"]["steps"] == 2
    assert provenance["recipe"]["photographs_sha256"]
    assert provenance["metrics"]["validation"]["top1"] is not None
