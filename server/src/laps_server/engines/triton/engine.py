"""The engine that hands clips to Triton.

A task of its own checks Triton's health once a second, whether the breaker is open or closed. So readiness follows
Triton's without a request, and an open breaker closes without one being risked: these health checks are its half-open
probes. Each of them checks again what was checked at start, since a Triton that comes back may serve something else and
has forgotten our shared memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.deadline import too_late
from laps_server.engines.base import EngineInfo, InferResult
from laps_server.engines.choices import SharedMemoryMode
from laps_server.engines.triton.breaker import Breaker
from laps_server.engines.triton.contract import check_contract
from laps_server.engines.triton.shared_clips import SharedClips
from laps_server.engines.triton.wire import InferRequest, Refused, Wire
from laps_server.errors import (
    BackendMismatch,
    BackendTimeout,
    BackendUnavailable,
    InternalError,
    LapsError,
)
from laps_server.models.repository import ModelFiles

_LOG = logging.getLogger(__name__)
_HINT = "send the request again later"
_SAME_REPOSITORY = "give Triton and this server the same model repository"

_PROBE_EVERY_S = 1.0
_PROBE_TIMEOUT_S = 2.0
_FAILURES_TO_OPEN = 3
_RETRY_AFTER_S = 0.1  # and up to as much again, so that requests that failed together do not come back together
_AT_THE_DEADLINE_S = 0.05  # timers are not exact


class TritonEngine:
    """One version of one model on one Triton; see :class:`laps_server.engines.base.Engine` for the contract."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        url: str,
        connect: Callable[[str], Wire],
        shared_memory: SharedMemoryMode,
        concurrency: int,
        timeout_s: float,
        start_timeout_s: float,
    ) -> None:
        self._files = files
        self._url = url
        self._connect = connect
        self._shared_memory = shared_memory
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._info = EngineInfo(
            name="triton",
            device=url,
            precision=files.manifest.graph_precision,
            threads=0,
            clip_shape=files.manifest.clip_shape,
            output_shape=files.manifest.output_shape,
            embedding_size=files.manifest.embedding_size,
            concurrency=concurrency,
            cancellable=True,
            in_process=False,
        )
        self._breaker = Breaker(failures=_FAILURES_TO_OPEN, pause_s=_PROBE_EVERY_S, clock=time.monotonic)
        self._reason: str | None = None
        self._wire: Wire | None = None
        self._probing: asyncio.Task[None] | None = None
        self._largest_batch = 1
        self._shared: SharedClips | None = None

    @property
    def info(self) -> EngineInfo:
        """Shapes from the manifest; ``start`` refuses a Triton that has others."""
        return self._info

    @property
    def unavailable_reason(self) -> str | None:
        """What Triton's last answer, or the lack of one, says about batches now."""
        return self._reason

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Wait for Triton, compare its model with the manifest, run every batch size once.

        Raises:
            BackendMismatch: Triton is there and serves something else.
            BackendUnavailable: it is not there, or not ready, and time is up.
        """
        self._wire = self._connect(self._url)
        self._largest_batch = max(batch_sizes)
        if self._shared_memory != "off":
            self._shared = SharedClips(
                required=self._shared_memory == "on",
                places=self._info.concurrency,
                place_bytes=self._largest_batch * math.prod(self._info.clip_shape),
            )
        await self._wait_for_triton()
        for size in batch_sizes:
            await self.infer(np.zeros((size, *self._info.clip_shape), np.uint8))
        self._probing = asyncio.create_task(self._keep_probing(), name="triton")

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        """See :meth:`laps_server.engines.base.Engine.infer`; a batch that did not reach Triton is sent once more.

        Raises:
            BackendUnavailable: Triton was not reached, twice, or the breaker is open.
            BackendTimeout: no answer within the time that a batch may take.
            DeadlineExceeded: no answer before ``deadline``.
        """
        try:
            return await self._attempt(clips, deadline)
        except BackendUnavailable:
            pause_s = _RETRY_AFTER_S * (1 + random.random())
            if not self._breaker.closed or (deadline is not None and time.monotonic() + pause_s >= deadline):
                raise
        await asyncio.sleep(pause_s)
        return await self._attempt(clips, deadline)

    async def close(self) -> None:
        """Let Triton close our shared memory, remove it, hang up."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        if self._wire is None:
            return
        try:
            if self._shared is not None:
                await self._shared.close(self._wire)
        finally:
            await self._wire.close()
            self._wire = None

    async def _wait_for_triton(self) -> None:
        until = time.monotonic() + self._start_timeout_s
        while True:
            try:
                await self._check_health()
            except (BackendUnavailable, BackendTimeout) as exc:
                if self._reason is None:
                    _LOG.warning("waiting for Triton at %s: %s", self._url, exc)
                self._reason = exc.message
                if time.monotonic() > until:
                    raise BackendUnavailable(
                        f"{exc.message}, for {self._start_timeout_s:g} s", hint="see LAPS_TRITON_URL"
                    ) from exc
            else:
                self._reason = None
                return
            await asyncio.sleep(_PROBE_EVERY_S)

    async def _keep_probing(self) -> None:
        """Follow Triton for as long as this engine lives."""
        pause_s = _PROBE_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = _PROBE_EVERY_S
            if not self._breaker.probe_due():
                continue
            try:
                await self._check_health(run_a_view=not self._breaker.closed)
            except (BackendUnavailable, BackendTimeout) as exc:
                self._note_failure(exc, probe=True)
                if self._breaker.closed and isinstance(exc, BackendUnavailable):
                    pause_s = _RETRY_AFTER_S  # a connection lost, or Triton gone: look again soon
            except LapsError as exc:
                self._breaker.trip()
                self._note_reason(exc.message)
            except Exception:  # a defect here must not end the task that readiness hangs on
                _LOG.exception("the health check of Triton failed")
                self._note_failure(InternalError("the health check of Triton failed"), probe=True)
            else:
                self._breaker.succeeded(probe=True)
                self._note_reason(None)

    async def _check_health(self, *, run_a_view: bool = False) -> None:
        """See whether Triton serves our model now; with ``run_a_view``, whether it runs it too.

        The state of that Triton's other models does not matter.

        Raises:
            BackendUnavailable, BackendTimeout: it does not answer, or is not ready.
            BackendMismatch: it is ready, for something else.
        """
        wire, files = self._connected(), self._files
        try:
            ready = await wire.model_ready(files.name, files.version, timeout_s=_PROBE_TIMEOUT_S)
            # A model that is being loaded is not there yet, and one that never will be looks alike.
            if not ready and not await wire.server_ready(timeout_s=_PROBE_TIMEOUT_S):
                raise BackendUnavailable("Triton is not ready", hint=_HINT)
            graph = await wire.graph(files.name, files.version, timeout_s=_PROBE_TIMEOUT_S)
            check_contract(graph, files, self._info, largest_batch=self._largest_batch)
            if not ready:
                raise BackendUnavailable(f"Triton's model {files.name!r} is not ready", hint=_HINT)
            if self._shared is not None:
                await self._shared.settle(wire)
        except BackendTimeout:
            await wire.renew()
            raise
        except Refused as exc:
            raise BackendMismatch(
                f"Triton does not serve {files.name!r} version {files.version}: {exc}", hint=_SAME_REPOSITORY
            ) from exc
        if run_a_view:
            await self._run_a_view(wire)

    async def _run_a_view(self, wire: Wire) -> None:
        """What an open breaker needs: a server that reports itself healthy may have a model that hangs."""
        try:
            await wire.infer(self._request(self._timeout_s), np.zeros((1, *self._info.clip_shape), np.uint8), None)
        except Refused as exc:
            raise BackendUnavailable(f"Triton fails on batches of {self._files.name!r}", hint=_HINT) from exc

    async def _attempt(self, clips: UInt8Array, deadline: float | None) -> InferResult:
        if not self._breaker.closed:
            raise BackendUnavailable(self._reason or "Triton is not available", hint=_HINT)
        now = time.monotonic()
        if deadline is not None and deadline <= now:
            raise too_late()
        until = now + self._timeout_s if deadline is None else min(now + self._timeout_s, deadline)
        try:
            result = await self._send(clips, until)
        except BackendTimeout as exc:
            # A short deadline says nothing about Triton: it must not open the breaker for everybody.
            if _is_over(deadline):
                raise too_late() from exc
            self._note_failure(exc)
            raise
        except BackendUnavailable as exc:
            self._note_failure(exc)
            raise
        except BackendMismatch as exc:  # shared memory is required and was lost
            self._breaker.trip()
            self._note_reason(exc.message)
            raise BackendUnavailable(exc.message, hint=_HINT) from exc
        except Refused as exc:
            raise _meaning(exc, deadline) from exc
        self._breaker.succeeded()
        return result

    async def _send(self, clips: UInt8Array, until: float) -> InferResult:
        """In shared memory where there is some, else over the wire."""
        wire, shared = self._connected(), self._shared
        if shared is None:
            return await wire.infer(self._request(until - time.monotonic()), clips, None)
        async with shared.lend(clips) as region:
            try:
                return await wire.infer(self._request(until - time.monotonic()), clips, region)
            except Refused as exc:
                if region is None or exc.why != "unknown":
                    raise
            await shared.settle(wire)
            again = self._request(until - time.monotonic())
            return await wire.infer(again, clips, region if shared.shared else None)

    def _request(self, timeout_s: float) -> InferRequest:
        manifest = self._files.manifest
        return InferRequest(
            model=self._files.name,
            version=self._files.version,
            input=manifest.clip.name,
            outputs=tuple(manifest.outputs),
            timeout_s=max(timeout_s, 0.001),
        )

    def _note_failure(self, exc: LapsError, *, probe: bool = False) -> None:
        self._breaker.failed(probe=probe)
        if not self._breaker.closed:
            self._note_reason(exc.message)

    def _note_reason(self, reason: str | None) -> None:
        """Keep what ``/readyz`` says; log when Triton goes and when it comes back."""
        if reason is not None and self._reason is None:
            _LOG.error("nothing is sent to Triton at %s until it is back: %s", self._url, reason)
        elif reason is None and self._reason is not None:
            _LOG.info("Triton at %s is back", self._url)
        self._reason = reason

    def _connected(self) -> Wire:
        if self._wire is None:
            raise InternalError("the engine is not started")
        return self._wire


def _meaning(refused: Refused, deadline: float | None) -> LapsError:
    """The error of a batch that Triton refused. None of it counts against Triton, which is there.

    Triton's own message goes to the log alone, as the cause of the error: it may hold paths.
    """
    match refused.why:
        case "unknown":  # it has come back without our memory, or without the model: the next probe tells
            return BackendUnavailable("Triton does not know this batch's model or memory", hint=_HINT)
        case "full":
            return BackendUnavailable("Triton's queue is full", hint=_HINT)
        case "expired":
            if _is_over(deadline):
                return too_late()
            return BackendTimeout("the batch waited too long in Triton's queue", hint=_HINT)
        case "failed":
            return InternalError("the inference server failed on a batch")


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline - _AT_THE_DEADLINE_S
