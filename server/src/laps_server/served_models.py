"""The model versions that are served: found, resolved once for each request, leased to it, added and retired.

A lease keeps a version loaded for as long as a job needs it; what is added or retired meanwhile is what the next job
gets::

    add ──► served ──► retire: no new lease ──► its last lease ends ──► closed
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.base import Engine, EngineInfo
from laps_server.errors import (
    BackendUnavailable,
    BadParameter,
    InternalError,
    ModelNotFound,
    NoEmbedding,
    NotReady,
    VersionNotFound,
)
from laps_server.label_choice import chosen_labels
from laps_server.memory import used_bytes
from laps_server.models.repository import ModelFiles, Ref
from laps_server.moving_average import MovingAverage
from laps_server.scheduler import Scheduler
from laps_server.view_grid import ViewGrid


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A model version and the scheduler that runs it."""

    files: ModelFiles
    scheduler: Scheduler
    decode_view: MovingAverage = field(default_factory=MovingAverage)  # of a decoder's time, by view

    @property
    def name(self) -> str:
        """The model's name."""
        return self.files.name

    @property
    def version(self) -> int:
        """Its version."""
        return self.files.version

    @property
    def key(self) -> Ref:
        """Both."""
        return self.name, self.version

    @property
    def ref(self) -> str:
        """Both, as ``name/version``."""
        return self.files.shown

    @property
    def engine_info(self) -> EngineInfo:
        """What runs it; where that is chosen by measurement, what will, once the models are loaded."""
        return self.scheduler.engine.info


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds, by the last measurements.

    ``busy_s`` until what goes before a newcomer is done, ``view_s`` that a view takes from decoder to logits, and
    ``view_apart_s`` between two views that a busy server is through with.
    """

    busy_s: float
    view_s: float
    view_apart_s: float


class ServedModels:
    """Every served version of every model."""

    def __init__(
        self,
        models: Iterable[ServedModel],
        *,
        default_model: str | None,
        by_number_alone: frozenset[Ref] = frozenset(),
        decoders: int = 1,
    ) -> None:
        """Nothing is loaded before :meth:`start`.

        Args:
            models: the versions to begin with.
            default_model: of a request that names none; the first in order if None.
            by_number_alone: versions that do not answer where a request names none, if there are others.
            decoders: videos that are decoded at the same time.

        Raises:
            ModelNotFound: ``default_model`` is not among ``models``.
        """
        self._served = _in_order(models)
        self._default_model = default_model
        self._by_number_alone = by_number_alone
        self._decoders = decoders
        self._leases: Counter[ServedModel] = Counter()
        self._took_bytes: dict[ServedModel, int] = {}
        self._returned = asyncio.Event()
        self._retiring: set[ServedModel] = set()
        self._ready = False
        self._failure: Exception | None = None
        if default_model is not None:
            self._versions_of(default_model)

    @property
    def versions(self) -> tuple[ServedModel, ...]:
        """Every served version, in order of name and version."""
        return self._served

    @property
    def default_model(self) -> str:
        """The model of a request that names none."""
        return self._default_model or self._served[0].name

    @property
    def is_started(self) -> bool:
        """Whether every version that was there at the start is loaded."""
        return self._ready

    @property
    def failure(self) -> Exception | None:
        """What made :meth:`start` fail; a process with one will never be ready."""
        return self._failure

    @property
    def not_ready_reason(self) -> str | None:
        """Why no request should be sent here now, or None."""
        if self._failure is not None:
            return "models cannot be served"
        for model in self._served:
            if (reason := model.scheduler.engine.unavailable_reason) is not None:
                return reason
        return None if self._ready else "models are loading"

    # Loading and unloading ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Load and warm every model.

        Raises:
            ModelError: a model cannot be served; nothing is half served.
        """
        try:
            for model in self._served:
                await self._load(model)
        except Exception as exc:
            self._failure = exc
            raise
        self._ready = True

    async def close(self) -> None:
        """End every version; requests still in flight get ``ShuttingDown``."""
        closing = (model.scheduler.close() for model in (*self._served, *self._retiring))
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    async def add(self, model: ServedModel, *, check: Callable[[Engine], Awaitable[None]] | None = None) -> None:
        """Load and warm one more version, then serve it; the highest answers where a request names none.

        Args:
            model: the version.
            check: awaited with its engine before it is served.

        Raises:
            ModelError: it cannot be served, and what was served before still is.
            InternalError: this version is served already.
        """
        self._check_new(model)
        try:
            await self._load(model)
            if check is not None:
                await check(model.scheduler.engine)
            self._check_new(model)  # once more: another may have come meanwhile
        except BaseException:
            self._took_bytes.pop(model, None)
            await model.scheduler.close()
            raise
        self._served = _in_order((*self._served, model))

    async def retire(self, name: str, version: int) -> None:
        """Serve a version no more, and close it once no job needs it.

        Raises:
            ModelNotFound, VersionNotFound: it is not served.
            InternalError: nothing else would answer a request that names no model.
        """
        model = self.find(name, version)
        self.withdraw(model)
        await self.close_drained(model)

    def withdraw(self, model: ServedModel) -> None:
        """Lease a version no more.

        Raises:
            InternalError: nothing else would answer a request that names no model.
        """
        if self.is_needed(model):
            raise InternalError("the last version that answers where no model is named cannot be retired")
        self._served = tuple(other for other in self._served if other is not model)
        self._retiring.add(model)

    async def close_drained(self, model: ServedModel) -> None:
        """Close a version that was withdrawn, once no job needs it."""
        while self._leases[model]:
            self._returned.clear()
            await self._returned.wait()
        await model.scheduler.close()
        self._retiring.discard(model)
        self._took_bytes.pop(model, None)

    def is_needed(self, model: ServedModel) -> bool:
        """Whether nothing else would answer a request that names no model."""
        return len(self._served) == 1 or (model.name == self._default_model and len(self._versions_of(model.name)) == 1)

    def took_bytes(self, name: str) -> int:
        """What the versions of a model took of memory when they were loaded, at most; 0 where none is loaded."""
        return max((took for model, took in self._took_bytes.items() if model.name == name), default=0)

    async def _load(self, model: ServedModel) -> None:
        before = used_bytes()
        await model.scheduler.start()
        self._took_bytes[model] = max(0, used_bytes() - before)

    # Finding and leasing -----------------------------------------------------------------------------

    def find(self, name: str | None, version: int | None = None) -> ServedModel:
        """The served version of a model, its highest where none is named.

        Raises:
            ModelNotFound, VersionNotFound: saying what is served.
        """
        candidates = self._versions_of(name or self.default_model)
        if version is None:
            others = [model for model in candidates if model.key not in self._by_number_alone]
            return (others or candidates)[-1]
        for model in candidates:
            if model.version == version:
                return model
        served = ", ".join(str(model.version) for model in candidates)
        raise VersionNotFound(
            f"version {version} of model {candidates[0].name!r} is not served",
            hint=f"served versions: {served}",
        )

    def resolve(self, options: ClassifyOptions) -> tuple[ServedModel, ViewGrid]:
        """The model and views that the options mean.

        Raises:
            BadParameter, UnknownLabel, NoEmbedding, ModelNotFound, VersionNotFound.
        """
        model = self.find(options.model, options.version)
        classes = len(model.files.labels)
        if options.top_k is not None and not 1 <= options.top_k <= classes:
            raise BadParameter(
                f"top_k {options.top_k} is out of range",
                hint=f"model {model.name!r} takes 1 to {classes}",
            )
        chosen_labels(options.labels, model.files.labels)
        if options.embedding and model.files.manifest.embedding is None:
            raise NoEmbedding(f"model {model.name!r} gives no embedding", hint=self._hint_embedding())
        return model, options.views or model.files.manifest.grid

    @contextmanager
    def lease(self, options: ClassifyOptions) -> Iterator[tuple[ServedModel, ViewGrid]]:
        """Resolve the options, once, and keep the version loaded until the context ends.

        Raises:
            NotReady: models are still loading.
            BadRequest: see :meth:`resolve`.
            BackendUnavailable: its engine could not run it now.
        """
        if not self._ready:
            raise NotReady("models are loading", hint="wait until /readyz answers 200")
        model, grid = self.resolve(options)
        if (reason := model.scheduler.engine.unavailable_reason) is not None:
            raise BackendUnavailable(reason, hint="send the request again later")
        self._leases[model] += 1
        try:
            yield model, grid
        finally:
            self._leases[model] -= 1
            if not self._leases[model]:
                del self._leases[model]
                self._returned.set()

    @property
    def busy_s(self) -> float:
        """Seconds until the server is through with everything that it has taken."""
        models = (*self._served, *self._retiring)
        return max((self.forecast(model, views=math.inf).busy_s for model in models), default=0.0)

    def forecast(self, model: ServedModel, *, views: float, urgent_deadline: float | None = None) -> Forecast:
        """When a newcomer's views would be done.

        A view is decoded, then run: the slower of the two decides how long the queue takes. Decoders are shared by all
        models, and the thread of inference by all engines in this process.
        """
        decode_s = run_s = 0.0
        in_process = model.scheduler.engine.info.in_process
        for other in (*self._served, *self._retiring):
            ahead = other.scheduler.ahead(views, urgent_deadline)
            decode_s += ahead.undecoded * other.decode_view.seconds
            if other is model or (in_process and other.scheduler.engine.info.in_process):
                run_s += ahead.all * other.scheduler.view_s
        own_decode_s, own_run_s = model.decode_view.seconds, model.scheduler.view_s
        return Forecast(
            busy_s=max(decode_s / self._decoders, run_s),
            view_s=own_decode_s + own_run_s,
            view_apart_s=max(own_decode_s / self._decoders, own_run_s),
        )

    def _hint_embedding(self) -> str:
        names = sorted({other.name for other in self._served if other.files.manifest.embedding is not None})
        return f"models that give one: {', '.join(names)}" if names else "no model that is served gives one"

    def _check_new(self, model: ServedModel) -> None:
        if any((other.name, other.version) == (model.name, model.version) for other in self._served):
            raise InternalError(f"version {model.version} of model {model.name!r} is served already")

    def _versions_of(self, name: str) -> tuple[ServedModel, ...]:
        found = tuple(model for model in self._served if model.name == name)
        if not found:
            served = ", ".join(sorted({model.name for model in self._served}))
            raise ModelNotFound(f"no model {name[:100]!r} is served", hint=f"served models: {served}")
        return found


def _in_order(models: Iterable[ServedModel]) -> tuple[ServedModel, ...]:
    return tuple(sorted(models, key=lambda model: (model.name, model.version)))
