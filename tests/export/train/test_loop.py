"""The loop around a tiny model: resuming, schedules, errors. That it learns is test_train_model.py's."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from laps_export.data.batches import Batch
from laps_export.errors import TrainingError
from laps_export.families import registry
from laps_export.families.family import Variant
from laps_export.families.laps.family import LAPS
from laps_export.families.laps.layers import PatchEmbed
from laps_export.families.laps.starting_weights.initialise import initialise
from laps_export.train.evaluation import EvaluationSet
from laps_export.train.loop import (
    LOG_NAME,
    learning_rate,
    precision_for,
    run,
)
from laps_export.train.motion_outputs import MOTION_OUTPUTS
from laps_export.train.run_state import CHECKPOINT_NAME, RunState, load_state, new_state
from laps_export.train.training_settings import LoopSettings
from support.registered import register
from support.small_laps import SMALL

CPU = torch.device("cpu")


def _quiet(*_: object) -> None:
    """Progress that nobody asked for."""


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, replace(LAPS, variants={**LAPS.variants, "small": Variant(SMALL)}))


def _batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (4, 8, 64, 64, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 7, (4,), generator=generator)
    return Batch(frames, labels[:, None].expand(-1, 8).contiguous(), labels)


def _evaluation() -> EvaluationSet:
    batch = _batch(99)
    return EvaluationSet(batch.frames.numpy(), batch.labels.numpy(), batch.frame_labels.numpy(), np.ones(4))


def _state(settings: LoopSettings) -> RunState:
    model = registry.build("small")
    initialise(model.network, seed=0, waves=False, outputs=MOTION_OUTPUTS)
    return new_state(model, settings)


def _run(
    state: RunState, settings: LoopSettings, folder: Path, first: int = 0, notes: dict[str, Any] | None = None
) -> None:
    batches = (_batch(number) for number in itertools.count(first))
    run(
        state,
        batches=batches,
        evaluation=_evaluation(),
        settings=settings,
        folder=folder,
        notes=notes or {"seed": 0},
        device=CPU,
        on_progress=_quiet,
    )


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    settings = LoopSettings(steps=8)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    uninterrupted = _state(settings)
    _run(uninterrupted, settings, whole)

    first = _state(settings)
    batches = (_batch(number) for number in range(4))
    run(
        first,
        batches=batches,
        evaluation=_evaluation(),
        settings=settings,
        folder=parts,
        notes={"seed": 0},
        device=CPU,
        on_progress=_quiet,
    )
    second = _state(settings)
    load_state(second, parts, {"seed": 0})
    assert second.step == 4
    _run(second, settings, parts, first=4)
    for one, other in zip(
        uninterrupted.averaged.network.parameters(), second.averaged.network.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_run_that_ended_goes_on_at_the_rate_of_its_new_length(tmp_path: Path) -> None:
    short, long = LoopSettings(steps=20), LoopSettings(steps=40)
    loop = {"steps": 20, "minutes": None, "peak_rate": short.peak_rate}
    notes = {"seed": 0, "threads": 2, "loop": loop}
    ended = _state(short)
    _run(ended, short, tmp_path, notes=notes)

    longer = {**notes, "threads": 1, "loop": {**loop, "steps": 40}}
    state = _state(long)
    load_state(state, tmp_path, longer)
    assert (state.step, state.extended_at) == (20, (20,))
    _run(state, long, tmp_path, first=20, notes=longer)
    assert state.step == 40
    rows = [json.loads(line) for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    rates = [row["rate"] for row in rows if row["event"] == "train"]
    assert rates == pytest.approx([learning_rate(19 / 20, short), learning_rate(39 / 40, long)])

    again = _state(long)
    load_state(again, tmp_path, longer)
    assert again.extended_at == (20,)
    with pytest.raises(TrainingError, match="another loop"):
        load_state(again, tmp_path, {**longer, "loop": {**loop, "peak_rate": 1.0}})


def test_the_log_is_json_lines_with_scores(tmp_path: Path) -> None:
    settings = LoopSettings(steps=20, evaluations=2)
    _run(_state(settings), settings, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    assert [row["event"] for row in rows] == ["start", "validation", "train", "validation"]
    assert {"loss", "rate", "clips_per_s", "frame_accuracy"} <= set(rows[2])
    assert {"top1", "confusion", "frame_top1"} <= set(rows[3])


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path: Path) -> None:
    settings = LoopSettings(steps=1)
    _run(_state(settings), settings, tmp_path)
    with pytest.raises(TrainingError, match="another seed") as caught:
        load_state(_state(settings), tmp_path, {"seed": 1})
    assert caught.value.code == "cannot_resume"


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"], ids=["missing", "empty", "text"])
def test_a_damaged_checkpoint_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / CHECKPOINT_NAME).write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        load_state(_state(LoopSettings(steps=1)), tmp_path, {})
    assert caught.value.code == "cannot_resume"


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    settings = LoopSettings(steps=2)
    state = _state(settings)
    with torch.no_grad():
        state.model.network.state_dict()["head.bias"].fill_(float("nan"))
    with pytest.raises(TrainingError) as caught:
        _run(state, settings, tmp_path)
    assert caught.value.code == "not_finite"


@pytest.mark.parametrize("lengths", [{}, {"steps": 3, "minutes": 1.0}, {"steps": 0}])
def test_a_run_has_exactly_one_length(lengths: dict[str, int]) -> None:
    with pytest.raises(TrainingError) as caught:
        LoopSettings(**lengths)
    assert caught.value.code == "invalid_length"


def test_the_rate_rises_then_falls() -> None:
    settings = LoopSettings(steps=100, peak_rate=1e-3, warmup=0.1)
    rates = [learning_rate(step / 100, settings) for step in range(101)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 10
    assert rates[0] < 2e-4
    assert rates[-1] == pytest.approx(1e-5)


def test_bfloat16_is_used_where_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    model = registry.build("small")
    initialise(model.network, seed=0, waves=False, outputs=MOTION_OUTPUTS)
    assert precision_for(model, CPU) is torch.bfloat16

    right = PatchEmbed.forward

    def wrong(self: PatchEmbed, x: Tensor) -> Tensor:
        # As a processor's own convolution was seen to do: other pixels, no error.
        return right(self, x.flip(-1) if torch.is_autocast_enabled("cpu") else x)

    monkeypatch.setattr(PatchEmbed, "forward", wrong)
    assert precision_for(model, CPU) is torch.float32
