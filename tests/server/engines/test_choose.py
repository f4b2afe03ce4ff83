"""A trial with engines whose speed and answers the test decides: what it runs, what it takes, what it leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from laps_server.arrays import UInt8Array
from laps_server.engines import choose as choose_module
from laps_server.engines.base import EngineInfo, InferResult
from laps_server.engines.choice_cache import ChoiceCache
from laps_server.engines.choices import Candidate
from laps_server.engines.choose import Chooser
from laps_server.engines.chosen import ChosenEngine
from laps_server.engines.trial import Shift
from laps_server.errors import ModelCorrupt
from laps_server.scores import Scoring
from support.standing_clock import StandingClock

VIEWS = np.zeros((10, 2, 4, 4, 3), np.uint8)
VIEWS[:] = np.arange(0, 100, 10, dtype=np.uint8)[:, None, None, None, None]

OV, BF16, F16 = Candidate("openvino", "float32"), Candidate("openvino", "bfloat16"), Candidate("openvino", "float16")
ORT = Candidate("ort", "float32")


@dataclass
class Kind:
    """How an engine of one candidate behaves: seconds a view, what it adds to the first label's logit, its failures."""

    seconds: float
    off: float = 0.0
    fails_to_load: bool = False
    fails_after: int = 10**6


@dataclass
class Bench:
    """Engines on a clock that runs only while one of them does, and what became of them."""

    kinds: dict[Candidate, Kind]
    clock: StandingClock = field(default_factory=StandingClock)
    loaded: list[Candidate] = field(default_factory=list)
    most_loaded: int = 0
    ran: list[Candidate] = field(default_factory=list)
    started: list[tuple[Candidate, tuple[int, ...]]] = field(default_factory=list)

    def build(self, candidate: Candidate) -> StagedEngine:
        return StagedEngine(self, candidate)

    def views_of(self, candidate: Candidate) -> int:
        return self.ran.count(candidate)


class StagedEngine:
    unavailable_reason = None

    def __init__(self, bench: Bench, candidate: Candidate) -> None:
        self._bench, self._candidate, self._kind = bench, candidate, bench.kinds[candidate]
        self._ran = 0
        self.info = EngineInfo(
            name=candidate.engine,
            device="none",
            precision=candidate.precision,
            threads=1,
            clip_shape=(2, 4, 4, 3),
            output_shape=(3,),
        )

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        if self._kind.fails_to_load:
            raise ModelCorrupt("it cannot be loaded")
        self._bench.started.append((self._candidate, batch_sizes))
        self._bench.loaded.append(self._candidate)
        self._bench.most_loaded = max(self._bench.most_loaded, len(self._bench.loaded))

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        if self._ran >= self._kind.fails_after:
            raise RuntimeError("out of order")
        self._ran += len(clips)
        self._bench.clock.now_s += self._kind.seconds
        self._bench.ran += [self._candidate] * len(clips)
        colour = clips[:, 0, 0, 0, 0].astype(np.float32)
        logits = np.stack([colour / 50 + self._kind.off, np.ones_like(colour), np.zeros_like(colour)], axis=1)
        return InferResult(logits)  # [B, 3]

    async def close(self) -> None:
        if self._candidate in self._bench.loaded:
            self._bench.loaded.remove(self._candidate)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench({OV: Kind(0.2), BF16: Kind(0.1), F16: Kind(0.25), ORT: Kind(0.5)})
    monkeypatch.setattr(choose_module, "now", bench.clock)
    monkeypatch.setattr(choose_module, "processor_now", bench.clock)
    return bench


async def views() -> UInt8Array:
    return VIEWS


def chooser(
    bench: Bench,
    candidates: Sequence[Candidate] = (OV, BF16, F16, ORT),
    *,
    cache: Path | None = None,
    pinned: bool = False,
) -> Chooser:
    return Chooser(
        name="m 1",
        candidates=tuple(candidates),
        references=(OV, ORT),
        build=bench.build,
        views=views,
        scoring=Scoring("softmax", 1.0),
        cache=ChoiceCache(cache),
        key={"model": "m"},
        pinned=pinned,
    )


async def test_the_fastest_whose_answers_hold_is_taken_and_little_else_is_run(bench: Bench) -> None:
    bench.kinds[BF16].off = 0.02
    choice = await chooser(bench).choose()
    assert choice.candidate == BF16
    assert choice.holds
    assert (choice.taken.timing is not None, choice.views) == (True, len(VIEWS))
    # Of the slow ones a single view, and one before to warm them up; the reference and what is taken see them all.
    assert bench.views_of(ORT) == 2
    assert bench.views_of(F16) == 2
    assert bench.views_of(OV) > len(VIEWS)
    assert bench.views_of(BF16) > len(VIEWS)


@pytest.mark.parametrize(("seconds", "views_run"), [(0.5, 2), (3.0, 1)])
async def test_one_that_is_far_too_slow_is_not_run_again_to_warm_it_up(
    bench: Bench, seconds: float, views_run: int
) -> None:
    bench.kinds[ORT].seconds = seconds
    await chooser(bench).choose()
    assert bench.views_of(ORT) == views_run


async def test_one_at_a_time_is_loaded_and_none_is_left(bench: Bench) -> None:
    bench.kinds[F16].fails_after = 0
    await chooser(bench).choose()
    assert (bench.most_loaded, bench.loaded) == (1, [])


async def test_where_float32_is_the_fastest_no_answer_is_compared(bench: Bench) -> None:
    bench.kinds[BF16].seconds = 0.4
    choice = await chooser(bench).choose()
    assert choice.candidate == OV
    assert [item.shift for item in choice.measured] == [None] * 4
    assert max(bench.views_of(candidate) for candidate in bench.kinds) < len(VIEWS)


async def test_one_whose_answers_do_not_hold_is_passed_over(bench: Bench) -> None:
    bench.kinds[BF16].off = 0.5
    choice = await chooser(bench).choose()
    assert choice.candidate == OV
    (bf16,) = (item for item in choice.measured if item.candidate == BF16)
    assert bf16.shift is not None
    assert bf16.shift.largest > 0.05


async def test_answers_that_are_no_numbers_do_not_hold(bench: Bench) -> None:
    bench.kinds[BF16].off = float("nan")
    choice = await chooser(bench).choose()
    assert choice.candidate == OV


@pytest.mark.parametrize("kind", [Kind(0.1, fails_to_load=True), Kind(0.1, fails_after=0), Kind(0.1, fails_after=5)])
async def test_one_that_cannot_run_is_passed_over_with_a_warning(
    bench: Bench, caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    bench.kinds[BF16] = kind
    choice = await chooser(bench).choose()
    assert choice.candidate == OV
    (warning,) = caplog.messages
    assert warning.startswith("m 1: openvino bfloat16 cannot run it: ")
    assert bench.loaded == []


async def test_where_none_can_run_the_first_failure_is_told(bench: Bench) -> None:
    for kind in bench.kinds.values():
        kind.fails_to_load = True
    with pytest.raises(ModelCorrupt, match="it cannot be loaded"):
        await chooser(bench).choose()


async def test_a_pinned_precision_is_held_against_float32_and_served_with_a_warning(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.kinds[BF16].off = 0.5
    pinned = chooser(bench, [BF16], pinned=True)
    assert pinned.needs_trial
    choice = await pinned.choose()
    assert (choice.candidate, choice.holds) == (BF16, False)
    (warning,) = caplog.messages
    assert warning.startswith("m 1: bfloat16 on openvino is pinned, but ")


@pytest.mark.parametrize(
    ("candidates", "needed"), [([OV], False), ([OV, ORT], True), ([BF16], True), ([OV, BF16], True)]
)
def test_there_is_nothing_to_try_where_one_exact_way_is_left(
    bench: Bench, candidates: list[Candidate], *, needed: bool
) -> None:
    assert chooser(bench, candidates).needs_trial == needed


async def test_a_thorough_trial_compares_every_candidate(bench: Bench, tmp_path: Path) -> None:
    bench.kinds[ORT].off = 0.01
    choice = await chooser(bench, cache=tmp_path).try_now(thorough=True)
    shifts = {item.candidate: item.shift for item in choice.measured}
    assert shifts.pop(OV) == Shift(0.0, 0)  # the reference
    assert all(found is not None and found.holds for found in shifts.values())
    ran = len(bench.ran)
    assert await chooser(bench, cache=tmp_path).choose() == choice
    assert len(bench.ran) == ran


async def test_what_was_found_is_told_and_not_tried_again(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        first = await chooser(bench, cache=tmp_path).choose()
        bench.ran.clear()
        assert await chooser(bench, cache=tmp_path).choose() == first
    assert bench.ran == []
    found, again = caplog.messages
    assert found.startswith("m 1: openvino bfloat16, found in ")
    assert again.startswith("m 1: openvino bfloat16, as found before; 100 ms a view")


async def test_an_engine_that_is_chosen_starts_as_what_was_chosen(bench: Bench) -> None:
    engine = ChosenEngine(chooser(bench), max_batch_views=None)
    assert (engine.info.name, engine.info.precision, engine.info.choice) == ("openvino", "float32", None)
    await engine.start((1, 2, 4, 8))
    assert (engine.info.name, engine.info.precision) == ("openvino", "bfloat16")
    assert engine.info.choice is not None
    assert bench.started[-1] == (BF16, (1, 2, 4))  # its own most, where nobody says otherwise
    bench.ran.clear()
    await engine.infer(VIEWS[:2])
    assert bench.ran == [BF16, BF16]
    await engine.close()
    assert bench.loaded == []


async def test_an_engine_that_is_chosen_takes_the_batches_that_its_operator_asked_for(bench: Bench) -> None:
    bench.kinds[ORT] = replace(bench.kinds[ORT], seconds=0.01)
    for most, sizes in ((None, (1, 2, 4)), (2, (1, 2))):
        engine = ChosenEngine(chooser(bench), max_batch_views=most)
        await engine.start((1, 2, 4))
        assert bench.started[-1] == (ORT, sizes)
        await engine.close()
