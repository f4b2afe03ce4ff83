"""Builds what answers requests, from settings, with the engine that they name. No FastAPI here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from laps_server.admission_forecast import AdmissionForecast
from laps_server.choosers import engine_for
from laps_server.classify_options import ClassifyOptions
from laps_server.engines.machine import this_machine
from laps_server.engines.registry import RegisteredEngine, engine_rows, format_of
from laps_server.errors import NoModels, ShuttingDown
from laps_server.job import Job, check_options
from laps_server.models.repository import ModelFiles, discover
from laps_server.observe import NoObserver, Observer, RequestClock
from laps_server.scheduler import Scheduler
from laps_server.served_models import ServedModel, ServedModels
from laps_server.settings import Settings, decoder_environment
from laps_server.video.decode_pool import DecodePool
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox.options import IS_AVAILABLE, SandboxOptions
from laps_server.video.sandbox.pool import SandboxPool

_LOG = logging.getLogger(__name__)


class Runtime:
    """Everything that answers a request, without a front: served models, decoders, and an observer of it all."""

    def __init__(
        self,
        served: ServedModels,
        decode_pool: DecodePool | SandboxPool,
        *,
        observer: Observer | None = None,
        resources: ExitStack | None = None,
    ) -> None:
        """Nothing runs before :meth:`start`.

        Args:
            served: the model versions.
            decode_pool: what decodes; started and closed with this.
            observer: gets every stage of every request.
            resources: what else is closed with this, once nothing runs any more.
        """
        self.served = served
        self.decode_pool = decode_pool
        self._observer = observer or NoObserver()
        self._resources = resources or ExitStack()
        self._draining = False
        self._forecast = AdmissionForecast()

    @property
    def not_ready_reason(self) -> str | None:
        """Why no request should be sent here now, or None."""
        return "shutting down" if self._draining else self.served.not_ready_reason

    async def start(self) -> None:
        """Start the decoders, load and warm every model.

        Raises:
            ModelError: a model cannot be served; nothing is half served.
        """
        await self.decode_pool.start()
        await self.served.start()

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

    @contextmanager
    def job(
        self, options: ClassifyOptions, clock: RequestClock | None = None, *, who: str | None = None
    ) -> Iterator[Job]:
        """Resolve a request, once, and lease its model version to a job for as long as the context lasts.

        Args:
            options: what is asked for.
            clock: of the request, from its arrival on; one that starts now if not given.
            who: whose it is, so that one that was refused is known when it comes back; nobody is refused for what
                waits if not given.

        Raises:
            Overloaded: it would be late.
            NotReady, BackendUnavailable: its model cannot run now.
            BadParameter, ModelNotFound, VersionNotFound: the options are wrong.
        """
        clock = clock or RequestClock()
        with self.served.lease(options) as (model, grid):
            check_options(options)
            scheduler = model.scheduler
            if who is not None and options.deadline is not None:
                self._forecast.check(
                    who,
                    busy_s=self.served.work_s(model),
                    own_s=grid.total * scheduler.view_s,
                    left_s=options.deadline - clock.arrived,
                )
            with scheduler.reserve(grid.total) as reservation:
                job = Job(
                    model=model,
                    grid=grid,
                    options=options,
                    clock=clock,
                    decode_pool=self.decode_pool,
                    observer=self._observer,
                    reservation=reservation,
                )
                try:
                    yield job
                finally:
                    job.leave()

    async def close(self) -> None:
        """End everything; requests still in flight get ``ShuttingDown``."""
        self._draining = True
        try:
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
    found = runnable(discover(*settings.model_repository, versions=settings.versions), rows)
    machine = this_machine(settings.device)
    # A scheduler and an engine for each model version; all engines in this process share one thread.
    with ExitStack() as unless_built:
        resources = unless_built.enter_context(ExitStack())
        executor = resources.enter_context(ThreadPoolExecutor(1, thread_name_prefix="infer"))
        models = [
            ServedModel(
                files,
                Scheduler(
                    engine_for(files, settings, machine, executor),
                    batch_sizes=_batch_sizes(settings.batch_sizes, files),
                    max_queued_views=settings.max_queued_views,
                    model=f"{files.name}/{files.version}",
                    observer=observer,
                ),
            )
            for files in found
        ]
        # Decoders, and all of it together.
        runtime = Runtime(
            ServedModels(models, default_model=_default_model(settings.default_model, found)),
            _decoders(settings),
            observer=observer,
            resources=resources,
        )
        unless_built.pop_all()
        return runtime


def _decoders(settings: Settings) -> DecodePool | SandboxPool:
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
    return SandboxPool(settings.decode_workers, threads=settings.decode_threads, limits=limits, options=options)


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


def runnable(found: tuple[ModelFiles, ...], rows: tuple[RegisteredEngine, ...]) -> tuple[ModelFiles, ...]:
    """Those that one of the engines runs: a TensorRT plan may lie beside the graph that it was built from."""
    runnable = tuple(files for files in found if any(row.can_run(files.manifest) for row in rows))
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
