"""Runs the candidates for a model on real views, one after the other, and keeps what was found.

One at a time is loaded, and closed before the next, so that a start needs no more memory than the largest of them.
Everything that computes does so in the one thread of inference, like every batch of a server.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np

from laps_server.arrays import Float64Array, UInt8Array
from laps_server.engines.base import Engine
from laps_server.engines.choice_cache import ChoiceCache, Key
from laps_server.engines.choices import Candidate
from laps_server.engines.trial import Choice, Measured, Shift, Timing, by_cost, decide, next_to_check, shift
from laps_server.errors import InternalError, LapsError
from laps_server.observe import now, processor_now
from laps_server.scores import Scoring, clip_logits

_LOG = logging.getLogger(__name__)
_MS = 1000.0
_ROUNDS = 5  # most views that a candidate is timed on; the fastest counts
_ENOUGH_MS = 500.0  # of timing, after which there is no further round
_WARM_UP_MS = 1000.0  # what the first view of an engine may take beyond the others, to compile for instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Finds how one version of one model is run.

    Attributes:
        name: of the model, in logs.
        candidates: what the settings leave; the first where there is one alone and nothing to compare it with.
        references: float32 on the engines that may be asked for it, the first where none is a candidate.
        build: an engine for a candidate, not started.
        views: real views ``[V, T, H, W, 3]``, as the model samples them.
        scoring: how the model's logits become scores.
        cache: what was found before, by ``key``.
        pinned: whether the settings leave one precision alone.
    """

    name: str
    candidates: tuple[Candidate, ...]
    references: tuple[Candidate, ...]
    build: Callable[[Candidate], Engine]
    views: Callable[[], Awaitable[UInt8Array]]
    scoring: Scoring
    cache: ChoiceCache
    key: Key
    pinned: bool

    @property
    def needs_trial(self) -> bool:
        """Whether there is anything to find out: of one way to answer exactly nothing is."""
        return self.candidates != self.references[:1] or len(self.candidates) > 1

    async def choose(self) -> Choice:
        """What was found before, or what a trial finds now.

        Raises:
            ModelError: no candidate runs the model.
        """
        if (known := self.cache.read(self.name, self.key)) is not None:
            self._tell(known, "as found before")
            return known
        return await self.try_now()

    async def try_now(self, *, thorough: bool = False) -> Choice:
        """Try the candidates, and keep what is found; ``thorough`` compares every one of them.

        Raises:
            ModelError: no candidate runs the model.
        """
        began = now()
        views = await self.views()
        trial = _Trial(self, views)
        choice = await trial.run(thorough=thorough)
        self._tell(choice, f"found in {now() - began:.1f} s")
        self.cache.write(self.name, self.key, choice)
        return choice

    def _tell(self, choice: Choice, how: str) -> None:
        taken = choice.taken
        parts = [f"{self.name}: {choice.candidate.engine} {choice.candidate.precision}, {how}"]
        if taken.timing is not None:
            parts.append(f"{taken.timing.ms:.0f} ms a view, {taken.timing.processor_ms:.0f} ms of processors")
        if taken.shift is not None:
            parts.append(f"scores of {choice.views} views moved by at most {taken.shift.largest:.3f}")
        _LOG.info("%s", "; ".join(parts))
        if taken.shift is not None and not taken.shift.holds:
            _LOG.warning(
                "%s: %s on %s is pinned, but %d of %d top labels changed and scores moved by up to %.3f",
                self.name,
                choice.candidate.precision,
                choice.candidate.engine,
                taken.shift.labels_changed,
                choice.views,
                taken.shift.largest,
            )


class _Trial:
    """One trial: what is known of each candidate so far."""

    def __init__(self, chooser: Chooser, views: UInt8Array) -> None:
        self._chooser = chooser
        self._views = views
        self._known: dict[Candidate, Measured] = {}
        self._failure: Exception | None = None

    async def run(self, *, thorough: bool) -> Choice:
        chooser = self._chooser
        for candidate in chooser.candidates:
            self._known[candidate] = await self._timed(candidate, thorough=thorough)
        # Whose answers the others are held against: the fastest that computes exactly.
        exact = [self._known[item] for item in chooser.references if item in self._known]
        reference = by_cost(exact)[0].candidate if exact else chooser.references[0]
        if exact and by_cost(exact)[0].failure is not None and self._failure is not None:
            raise self._failure
        scores: Float64Array | None = None
        while True:
            wanted = self._unchecked(reference) if thorough else next_to_check(self._all, reference=reference)
            choice = decide(self._all, reference=reference, views=len(self._views), pinned=chooser.pinned)
            if wanted is None or (choice is not None and not thorough):
                break
            if scores is None:
                scores = await self._scores(reference)
                if reference in self._known:
                    self._known[reference] = replace(self._known[reference], shift=Shift(0.0, 0))
            self._known[wanted] = await self._compared(wanted, scores)
        if choice is None:
            raise self._failure or InternalError(f"{chooser.name}: no candidate could be chosen")
        return choice

    @property
    def _all(self) -> tuple[Measured, ...]:
        return tuple(self._known.values())

    def _unchecked(self, reference: Candidate) -> Candidate | None:
        left = (item for item in by_cost(self._all) if item.shift is None and item.failure is None)
        return next((item.candidate for item in left if item.candidate != reference), None)

    async def _timed(self, candidate: Candidate, *, thorough: bool) -> Measured:
        best = min((item.timing for item in self._all if item.timing), key=lambda timing: timing.cost, default=None)
        try:
            async with self._running(candidate) as engine:
                await engine.start(())
                # The first one warms the engine up, and is enough of one that even so is far too slow.
                timing = await self._one_view(engine, 0)
                rounds: list[Timing] = []
                slow = not thorough and timing.less(_WARM_UP_MS).is_clearly_slower_than(best)
                while not slow and len(rounds) < _ROUNDS and sum(item.ms for item in rounds) < _ENOUGH_MS:
                    rounds.append(await self._one_view(engine, len(rounds)))
                    timing = replace(
                        timing,
                        ms=min(item.ms for item in rounds),
                        processor_ms=min(item.processor_ms for item in rounds),
                    )
                    slow = not thorough and timing.is_clearly_slower_than(best)
        except Exception as exc:  # one that cannot run is no candidate, whatever it raises
            return self._failed(candidate, exc)
        return Measured(candidate, timing)

    async def _one_view(self, engine: Engine, number: int) -> Timing:
        began, processor_began = now(), processor_now()
        await engine.infer(self._views[number : number + 1])
        return Timing(
            (now() - began) * _MS,
            (processor_now() - processor_began) * _MS,
            elsewhere=engine.info.device != "cpu",
        )

    async def _compared(self, candidate: Candidate, reference: Float64Array) -> Measured:
        known = self._known[candidate]
        try:
            found: Shift = shift(reference, await self._scores(candidate))
        except Exception as exc:  # as above
            return self._failed(candidate, exc)
        return replace(known, shift=found)

    async def _scores(self, candidate: Candidate) -> Float64Array:
        """Of each view for itself, ``[V, K]``."""
        async with self._running(candidate) as engine:
            await engine.start(())
            rows = [(await engine.infer(clip[None])).logits for clip in self._views]
        logits = np.concatenate(rows)  # [V, R, K] or [V, K]
        if not np.isfinite(logits).all():
            raise InternalError("its numbers are not finite")
        return self._chooser.scoring.probabilities(clip_logits(logits))

    @asynccontextmanager
    async def _running(self, candidate: Candidate) -> AsyncIterator[Engine]:
        engine = self._chooser.build(candidate)
        try:
            yield engine
        finally:
            await engine.close()
            await asyncio.to_thread(return_freed_memory)

    def _failed(self, candidate: Candidate, exc: Exception) -> Measured:
        if self._failure is None:
            self._failure = exc
        _LOG.warning("%s: %s %s cannot run it: %s", self._chooser.name, candidate.engine, candidate.precision, exc)
        return Measured(candidate, failure=exc.message if isinstance(exc, LapsError) else str(exc))


def return_freed_memory() -> None:
    """Give what engines freed back to the system: glibc keeps it, 60 MB after a trial of a large model."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)
