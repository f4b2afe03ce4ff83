"""Runs a share of the requests through a second model, to see in metrics what it would answer.

A request is answered first, and never learns of it. Its video is then run once more, in the background, while nothing
else is in flight: the next request that comes in drops it. So a shadow costs others at most the batch that it runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from laps_server.answer_memory import AnswerMemory
from laps_server.classify_options import ClassifyOptions
from laps_server.errors import BadRequest, InternalError, LapsError
from laps_server.events import Classification
from laps_server.job import Job
from laps_server.models.repository import shown
from laps_server.observe import NoObserver, Observer, RequestClock, Shadowed, now
from laps_server.served_models import ServedModel, ServedModels
from laps_server.shadow_rule import ShadowRule
from laps_server.video.decoders import Decoders

_LOG = logging.getLogger(__name__)
_MOST_S = 300.0  # for one video
_DROPPED = "dropped"
_OK = "ok"


class Shadows:
    """Runs at most one at a time.

    Args:
        rules: which requests, and through what.
        served: the models.
        decode_pool: what decodes.
        observer: gets how each went.
        draw: a number from 0 up to 1.
    """

    def __init__(
        self,
        rules: Iterable[ShadowRule],
        *,
        served: ServedModels,
        decode_pool: Decoders,
        observer: Observer | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._rules = tuple(rules)
        self._served = served
        self._decode_pool = decode_pool
        self._observer = observer or NoObserver()
        self._draw = draw
        self._answers = AnswerMemory()  # one at a time, and never sent
        self._running: asyncio.Task[None] | None = None

    def answered(self, file: int, answer: Classification, options: ClassifyOptions, *, busy: bool) -> None:
        """A request was answered: perhaps run its video once more.

        Args:
            file: the video; still the request's, and not read by it any more.
            answer: what it was answered.
            options: what it asked for.
            busy: whether others are in flight.
        """
        for rule in self._rules:
            shadow = self._shadow_of(answer, rule)
            if shadow is None or self._draw() >= rule.share:
                continue
            if busy or self._running is not None:
                self._report(answer, shadow, seconds=0.0, outcome=_DROPPED)
                continue
            try:
                own = os.dup(file)
            except OSError as exc:  # no descriptor left
                _LOG.warning("a request has no shadow: %s", exc.strerror)
                return
            began = now()
            self._running = asyncio.create_task(self._run(own, answer, shadow, options, began), name="shadow")
            self._running.add_done_callback(partial(self._ended, own, answer, shadow, began))

    def drop(self) -> None:
        """A request comes in: what runs for none makes way."""
        if self._running is not None:
            self._running.cancel()

    async def close(self) -> None:
        """Run no more."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _shadow_of(self, answer: Classification, rule: ShadowRule) -> ServedModel | None:
        if answer.model != (rule.model or self._served.default_model):
            return None
        try:
            shadow = self._served.find(rule.name, rule.version)
        except BadRequest:  # it is not there, or not yet
            return None
        return None if shadow.key == (answer.model, answer.version) else shadow

    async def _run(
        self, file: int, answer: Classification, shadow: ServedModel, options: ClassifyOptions, began: float
    ) -> None:
        outcome, agreed, shift = _OK, None, None
        try:
            found = await self._classify(file, shadow, options)
            first = answer.predictions[0]
            agreed = found.predictions[0].label == first.label
            shift = next(
                (abs(item.score - first.score) for item in found.predictions if item.label == first.label), None
            )
        except LapsError as exc:
            outcome = exc.code
        except Exception:  # a defect here must not be heard of by any request
            _LOG.exception("a shadow failed")
            outcome = InternalError.code
        self._report(answer, shadow, seconds=now() - began, outcome=outcome, agreed=agreed, shift=shift)

    async def _classify(self, file: int, shadow: ServedModel, options: ClassifyOptions) -> Classification:
        wanted = replace(
            options,
            model=shadow.name,
            version=shadow.version,
            top_k=len(shadow.files.labels),
            frames=False,
            thumbnails=False,
            view_details=False,
            embedding=False,
            deadline=now() + _MOST_S,
            deadline_named=False,
        )
        with (
            self._served.lease(wanted) as (model, grid),
            model.scheduler.reserve(0) as reservation,
            self._answers.share() as answer,
        ):
            job = Job(
                model=model,
                grid=grid,
                options=wanted,
                clock=RequestClock("shadow"),
                decode_pool=self._decode_pool,
                observer=NoObserver(),
                reservation=reservation,
                answer=answer,
                background=True,
            )
            return await job.classify(file)

    def _ended(
        self, file: int, answer: Classification, shadow: ServedModel, began: float, task: asyncio.Task[None]
    ) -> None:
        os.close(file)
        self._running = None
        if task.cancelled():
            self._report(answer, shadow, seconds=now() - began, outcome=_DROPPED)

    def _report(
        self,
        answer: Classification,
        shadow: ServedModel,
        *,
        seconds: float,
        outcome: str,
        agreed: bool | None = None,
        shift: float | None = None,
    ) -> None:
        model = shown((answer.model, answer.version))
        self._observer.observe(Shadowed(model, shadow.ref, seconds, outcome, agreed, shift))
