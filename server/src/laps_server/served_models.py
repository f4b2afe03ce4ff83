"""The model versions that are served: found, resolved once for each request, leased to it, added and retired.

A lease keeps a version loaded for as long as a job needs it; what is added or retired meanwhile is what the next job
gets::

    add ──► served ──► retire: no new lease ──► its last lease ends ──► closed
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.base import EngineInfo
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
from laps_server.models.repository import ModelFiles
from laps_server.scheduler import Scheduler
from laps_server.view_grid import ViewGrid


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A model version and the scheduler that runs it."""

    files: ModelFiles
    scheduler: Scheduler

    @property
    def name(self) -> str:
        """The model's name."""
        return self.files.name

    @property
    def version(self) -> int:
        """Its version."""
        return self.files.version

    @property
    def ref(self) -> str:
        """Both, as ``name/version``."""
        return f"{self.name}/{self.version}"

    @property
    def engine_info(self) -> EngineInfo:
        """What runs it; where that is chosen by measurement, what will, once the models are loaded."""
        return self.scheduler.engine.info


class ServedModels:
    """Every served version of every model."""

    def __init__(self, models: Iterable[ServedModel], *, default_model: str | None) -> None:
        """Nothing is loaded before :meth:`start`.

        Raises:
            ModelNotFound: ``default_model`` is not among ``models``.
        """
        self._served = _in_order(models)
        self._default_model = default_model
        self._leases: Counter[ServedModel] = Counter()
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
                await model.scheduler.start()
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

    async def add(self, model: ServedModel) -> None:
        """Load and warm one more version, then serve it; the highest answers where a request names none.

        Raises:
            ModelError: it cannot be served, and what was served before still is.
            InternalError: this version is served already.
        """
        self._check_new(model)
        try:
            await model.scheduler.start()
            self._check_new(model)  # once more: another may have come meanwhile
        except BaseException:
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
        if len(self._served) == 1 or (name == self._default_model and len(self._versions_of(name)) == 1):
            raise InternalError("the last version that answers where no model is named cannot be retired")
        self._served = tuple(other for other in self._served if other is not model)
        self._retiring.add(model)
        while self._leases[model]:
            self._returned.clear()
            await self._returned.wait()
        self._retiring.discard(model)
        await model.scheduler.close()

    # Finding and leasing -----------------------------------------------------------------------------

    def find(self, name: str | None, version: int | None = None) -> ServedModel:
        """The served version of a model, its highest where none is named.

        Raises:
            ModelNotFound, VersionNotFound: saying what is served.
        """
        candidates = self._versions_of(name or self.default_model)
        if version is None:
            return candidates[-1]
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

    def work_s(self, model: ServedModel) -> float:
        """Seconds until ``model`` could begin with something new: of all models that share its thread."""
        if not model.scheduler.engine.info.in_process:
            return model.scheduler.work_s
        return sum(
            other.scheduler.work_s
            for other in (*self._served, *self._retiring)
            if other.scheduler.engine.info.in_process
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
