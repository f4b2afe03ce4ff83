"""Builds what answers requests, from settings, with the engine that they name. No FastAPI here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

from laps_server.admission_forecast import AdmissionForecast, Arrival
from laps_server.answer_memory import AnswerMemory
from laps_server.choosers import engine_for
from laps_server.classify_options import ClassifyOptions
from laps_server.engines.machine import this_machine
from laps_server.engines.registry import RegisteredEngine, engine_rows, format_of
from laps_server.errors import InternalError, LapsError, NoModels, NotEnoughMemory, NotReady, ShuttingDown
from laps_server.events import Classification
from laps_server.job import Job, check_options
from laps_server.memory import allowed_bytes, used_bytes
from laps_server.models.repository import ModelFiles, find_versions
from laps_server.observe import NoObserver, Observer, RequestClock, now
from laps_server.repository_watch import Changes, FailedVersion, RepositoryWatch
from laps_server.scheduler import Scheduler
from laps_server.served_models import ServedModel, ServedModels
from laps_server.settings import Settings, decoder_environment
from laps_server.shadow_rule import ShadowRule
from laps_server.shadows import Shadows
from laps_server.video.decode_pool import DecodePool
from laps_server.video.decoders import Decoders
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox.options import IS_AVAILABLE, SandboxOptions
from laps_server.video.sandbox.pool import SandboxPool

_LOG = logging.getLogger(__name__)
# What a graph takes of memory where none of its model was loaded before: its weights as read, as compiled, and as they
# are while they are compiled; and what runs it.
_LOADED_SIZE = 3
_LOADED_BYTES = 64 * 2**20


class Runtime:
    """Everything that answers a request, without a front: served models, decoders, and an observer of it all."""

    def __init__(
        self,
        served: ServedModels,
        decode_pool: Decoders,
        *,
        observer: Observer | None = None,
        answers: AnswerMemory | None = None,
        resources: ExitStack | None = None,
        watch: RepositoryWatch | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        """Nothing runs before :meth:`start`.

        Args:
            served: the model versions.
            decode_pool: what decodes; started and closed with this.
            observer: gets every stage of every request.
            answers: what answers may take of memory.
            resources: what else is closed with this, once nothing runs any more.
            watch: what follows the model repository; without it, what is served stays as it is.
            shadows: what runs requests once more, through a second model.
        """
        self.served = served
        self.decode_pool = decode_pool
        self._observer = observer or NoObserver()
        self._resources = resources or ExitStack()
        self._watch = watch
        self._shadows = shadows
        self._jobs = 0  # in flight
        self._draining = False
        self.forecast = AdmissionForecast()
        self.answers = answers or AnswerMemory()

    @property
    def not_ready_reason(self) -> str | None:
        """Why no request should be sent here now, or None."""
        return "shutting down" if self._draining else self.served.not_ready_reason

    @property
    def failed_versions(self) -> tuple[FailedVersion, ...]:
        """What is wrong in the model repository beside what is served."""
        return () if self._watch is None else self._watch.failed

    async def start(self) -> None:
        """Start the decoders, load and warm every model.

        Raises:
            ModelError: a model cannot be served; nothing is half served.
        """
        await self.decode_pool.start()
        await self.served.start()

    def follow_repository(self) -> None:
        """From now on serve what the model repository holds, as it changes; for servers, once they are ready."""
        if self._watch is not None:
            self._watch.start()

    async def reload(self) -> Changes:
        """Look at the model repository now.

        Raises:
            NotReady, ShuttingDown: models are still loading, or will soon be closed.
            NoModels: there is none, and what is served stays.
        """
        self.admit()
        if self._watch is None:
            raise InternalError("there is no model repository to look at")
        if not self.served.is_started:
            raise NotReady("models are loading", hint="wait until /readyz answers 200")
        return await self._watch.look(settled=True)

    def drain(self) -> None:
        """Take no new request; those in flight go on."""
        self._draining = True

    def admit(self) -> None:
        """Whether a new request may come in; one that was admitted is finished, drain or not.

        Raises:
            ShuttingDown: it may not.
        """
        if self._draining:
            raise ShuttingDown(hint="send the request to another instance")

    def check_in_time(self, arrival: Arrival, options: ClassifyOptions) -> None:
        """Whether a request would be answered before its deadline, by what goes before it; for a request that is wrong,
        :meth:`job` says so.

        Raises:
            Overloaded: it would not.
        """
        try:
            model, grid = self.served.resolve(options)
        except LapsError:
            return
        if options.deadline is None:
            return
        found = self.served.forecast(model, views=grid.total, urgent_deadline=options.urgent_deadline)
        self.forecast.check_time(
            arrival,
            busy_s=found.busy_s,
            own_s=grid.total * found.view_s,
            apart_s=grid.total * found.view_apart_s,
            left_s=options.deadline - now(),
        )

    @contextmanager
    def job(self, options: ClassifyOptions, clock: RequestClock | None = None) -> Iterator[Job]:
        """Resolve a request, once, and lease its model version to a job for as long as the context lasts.

        Args:
            options: what is asked for.
            clock: of the request, from its arrival on; one that starts now if not given.

        Raises:
            NotReady, BackendUnavailable: its model cannot run now.
            BadParameter, ModelNotFound, VersionNotFound: the options are wrong.
        """
        clock = clock or RequestClock()
        if self._shadows is not None:
            self._shadows.drop()
        with self.served.lease(options) as (model, grid), self._counted():
            check_options(options)
            with (
                model.scheduler.reserve(grid.total, options.urgent_deadline) as reservation,
                self.answers.share() as answer,
            ):
                job = Job(
                    model=model,
                    grid=grid,
                    options=options,
                    clock=clock,
                    decode_pool=self.decode_pool,
                    observer=self._observer,
                    reservation=reservation,
                    answer=answer,
                    on_answer=None if self._shadows is None else partial(self._shadow, self._shadows, options),
                )
                try:
                    yield job
                finally:
                    job.leave()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._jobs += 1
        try:
            yield
        finally:
            self._jobs -= 1

    def _shadow(self, shadows: Shadows, options: ClassifyOptions, file: int, answer: Classification) -> None:
        shadows.answered(file, answer, options, busy=self._draining or self._jobs > 1)

    async def close(self) -> None:
        """End everything; requests still in flight get ``ShuttingDown``."""
        self._draining = True
        try:
            if self._watch is not None:
                await self._watch.close()
            if self._shadows is not None:
                await self._shadows.close()
            await self.served.close()
            await asyncio.to_thread(self.decode_pool.close)
        finally:
            await asyncio.to_thread(self._resources.close)


def build_runtime(settings: Settings, *, observer: Observer | None = None) -> Runtime:
    """Read the model repository and put a runtime together; ``await runtime.start()`` loads the models.

    What is opened here is closed with the runtime, or at once where this raises.

    Raises:
        ModelError: no model there, or one that is wrong.
        ModelNotFound: ``default_model`` names one model, and it is not there.
        BadParameter: the engine is not installed.
    """
    for warning in settings.warnings:
        _LOG.warning("%s", warning)
    # What can be wrong is found first: the engine's packages, then the models' files.
    rows = engine_rows(settings)
    rules = tuple(map(ShadowRule.parse, settings.shadow))
    shadowing = frozenset((rule.name, rule.version) for rule in rules if rule.version is not None)
    find = partial(find_versions, *settings.model_repository, versions=settings.versions, beside=shadowing)
    found = runnable(tuple(item.read() for item in find()), rows)
    machine = this_machine(settings.device)
    # A scheduler and an engine for each model version; all engines in this process share one thread.
    with ExitStack() as unless_built:
        resources = unless_built.enter_context(ExitStack())
        executor = resources.enter_context(ThreadPoolExecutor(1, thread_name_prefix="infer"))

        def build(files: ModelFiles) -> ServedModel:
            return ServedModel(
                files,
                Scheduler(
                    engine_for(files, settings, machine, executor),
                    batch_sizes=_batch_sizes(settings.batch_sizes, files),
                    max_queued_views=settings.max_queued_views,
                    model=files.shown,
                    observer=observer,
                ),
            )

        served = ServedModels(
            [build(files) for files in found],
            default_model=_default_model(settings.default_model, found),
            by_number_alone=shadowing,
            decoders=settings.decode_workers,
        )
        watch = RepositoryWatch(
            served,
            find=find,
            build=lambda files: build(files) if _is_runnable(files, rows) else None,
            check_room=lambda files: _check_room(files, served, settings),
            interval_s=settings.reload_interval_s,
            observer=observer,
        )
        # Decoders, and all of it together.
        decode_pool = _decoders(settings, observer)
        runtime = Runtime(
            served,
            decode_pool,
            observer=observer,
            answers=AnswerMemory(settings.max_answers_bytes),
            resources=resources,
            watch=watch,
            shadows=Shadows(rules, served=served, decode_pool=decode_pool, observer=observer) if rules else None,
        )
        unless_built.pop_all()
        return runtime


def _decoders(settings: Settings, observer: Observer | None) -> Decoders:
    """What decodes, as the operator chose; not yet started."""
    limits = MediaLimits(max_pixels=settings.max_pixels, max_segments=settings.max_segments, codecs=settings.codecs)
    if settings.decode == "thread" or not IS_AVAILABLE:
        if settings.decode == "sandbox":
            _LOG.warning("only Linux has a sandbox for decoders: videos are decoded in this process")
        return DecodePool(settings.decode_workers, threads=settings.decode_threads, limits=limits)
    options = SandboxOptions(
        filter=settings.decode_filter,
        memory_mib=settings.decode_memory_mib,
        stall_s=settings.decode_stall_s,
        environment=decoder_environment(),
    )
    return SandboxPool(
        settings.decode_workers, threads=settings.decode_threads, limits=limits, options=options, observer=observer
    )


def _default_model(names: tuple[str, ...], found: tuple[ModelFiles, ...]) -> str | None:
    """The model of a request that names none: a single name is a demand, several are preferences."""
    if len(names) == 1:
        return names[0]
    served = {files.name for files in found}
    chosen = next((name for name in names if name in served), None)
    if names and chosen is None:
        _LOG.warning("default_model: none of %s is served, so %s is the default", ", ".join(names), min(served))
    return chosen


def _batch_sizes(sizes: tuple[int, ...], files: ModelFiles) -> tuple[int, ...]:
    """Those that the model's memory allows; a single view always is."""
    most = files.manifest.max_batch
    return sizes if most is None else tuple(size for size in sizes if size <= most)


def _check_room(files: ModelFiles, served: ServedModels, settings: Settings) -> None:
    """See that one more version may be loaded beside those that are.

    Raises:
        NotEnoughMemory: this process would take more than it may.
    """
    if settings.engine == "triton":
        return  # it is loaded there
    sizes = [(files.folder / precision.file).stat().st_size for precision in files.manifest.precisions.values()]
    needed = max(served.took_bytes(files.name), _LOADED_SIZE * max(sizes) + _LOADED_BYTES)
    allowed = allowed_bytes() if settings.max_memory_mib is None else settings.max_memory_mib * 2**20
    used = used_bytes()
    if used + needed > allowed:
        raise NotEnoughMemory(
            f"it needs about {needed >> 20} MiB beside the {used >> 20} MiB in use, of {allowed >> 20} MiB allowed",
            hint="raise max_memory_mib or the container's limit, or restart the server with the new version",
        )


def _is_runnable(files: ModelFiles, rows: tuple[RegisteredEngine, ...]) -> bool:
    return any(row.can_run(files.manifest) for row in rows)


def runnable(found: tuple[ModelFiles, ...], rows: tuple[RegisteredEngine, ...]) -> tuple[ModelFiles, ...]:
    """Those that one of the engines runs: a TensorRT plan may lie beside the graph that it was built from."""
    runnable = tuple(files for files in found if _is_runnable(files, rows))
    left = {files.name: format_of(files.manifest) for files in found if files not in runnable}
    names = " or ".join(row.name for row in rows)
    for name in sorted(left):
        _LOG.info("%s is a %s, which engine %s does not run", name, left[name], names)
    if not runnable:
        formats = " and ".join(sorted({f"{what}s" for what in left.values()}))
        raise NoModels(
            f"the model repository holds {formats} alone",
            hint="Triton runs plans; put the ONNX entry beside them",
        )
    return runnable
