"""The engine that hands clips to Triton.

A task of its own asks Triton once a second whether it serves our model, whether the breaker is open or closed. So
readiness follows Triton's without a request, and a breaker that is open closes without one being risked: those asks
are its half-open probes. What is checked at start is checked again by every ask, since a Triton that comes back may
serve something else and has forgotten our shared memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Coroutine
from typing import Literal

import numpy as np

from laps_server.clips import Float32Array, UInt8Array
from laps_server.deadline import HINT_WORK
from laps_server.engines.base import EngineInfo
from laps_server.engines.triton.breaker import Breaker
from laps_server.engines.triton.contract import check_contract
from laps_server.engines.triton.memory import Segment, sweep
from laps_server.engines.triton.wire import Call, Refused, Region, Wire
from laps_server.errors import (
    BackendMismatch,
    BackendTimeout,
    BackendUnavailable,
    DeadlineExceeded,
    InternalError,
    LapsError,
)
from laps_server.repository import ModelFiles

_LOG = logging.getLogger(__name__)
_HINT = "send the request again later"

SharedMemory = Literal["auto", "on", "off"]

_ASK_EVERY_S = 1.0
_ASK_TIMEOUT_S = 2.0
_FAILURES_TO_OPEN = 3
_RETRY_AFTER_S = 0.1  # and up to as much again, so that calls that failed together do not come back together
_CLOSE_REGION_S = 5.0  # Triton keeps a region open for as long as a batch reads it


class TritonEngine:
    """One version of one model on one Triton; see :class:`laps_server.engines.base.Engine` for the contract."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        url: str,
        connect: Callable[[str], Wire],
        shared_memory: SharedMemory,
        calls_at_once: int,
        timeout_s: float,
        start_timeout_s: float,
    ) -> None:
        manifest = files.manifest
        clip, classes = manifest.clip, manifest.labels.count
        self._files = files
        self._url = url
        self._connect = connect
        self._shared_memory = shared_memory
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._info = EngineInfo(
            name="triton",
            device=url,
            threads=0,
            clip_shape=(clip.frames, clip.height, clip.width, 3),
            output_shape=(clip.frames, classes) if manifest.output.kind == "per_frame" else (classes,),
            calls_at_once=calls_at_once,
            cancellable=True,
        )
        self._breaker = Breaker(failures=_FAILURES_TO_OPEN, pause_s=_ASK_EVERY_S, clock=time.monotonic)
        self._reason: str | None = None
        self._wire: Wire | None = None
        self._asking: asyncio.Task[None] | None = None
        self._largest_batch = 1
        self._segment: Segment | None = None
        self._slots = list(range(calls_at_once))
        self._left_open: set[str] = set()  # regions of gateways that died, which Triton may still have open

    @property
    def info(self) -> EngineInfo:
        """Shapes from the manifest; ``start`` refuses a Triton that has others."""
        return self._info

    @property
    def unavailable_reason(self) -> str | None:
        """What Triton's last answer, or the lack of one, says about calls now."""
        return self._reason

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Wait for Triton, hold its model against the manifest, run every batch size once.

        Raises:
            BackendMismatch: Triton is there and serves something else.
            BackendUnavailable: it is not there, or not ready, and time is up.
        """
        self._wire = self._connect(self._url)
        self._largest_batch = max(batch_sizes)
        if self._shared_memory != "off":
            self._left_open.update(sweep())
            self._segment = self._reserve_memory()
        await self._wait_for_triton()
        for size in batch_sizes:
            await self.infer(np.zeros((size, *self._info.clip_shape), np.uint8))
        self._asking = asyncio.create_task(self._keep_asking(), name="triton")

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> Float32Array:
        """See :meth:`laps_server.engines.base.Engine.infer`; a call that found nobody is made once more.

        Raises:
            BackendUnavailable: nobody there, twice, or so often before that nobody is asked.
            BackendTimeout: no answer within the time that a call may take.
            DeadlineExceeded: no answer before ``deadline``.
        """
        try:
            return await self._call(clips, deadline)
        except BackendUnavailable:
            pause_s = _RETRY_AFTER_S * (1 + random.random())
            if not self._breaker.closed or (deadline is not None and time.monotonic() + pause_s >= deadline):
                raise
        await asyncio.sleep(pause_s)
        return await self._call(clips, deadline)

    async def close(self) -> None:
        """Let Triton close our shared memory, remove it, hang up."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        try:
            if self._segment is not None:
                await self._close_region(self._segment.name)
        finally:
            self._give_memory_back()
            if self._wire is not None:
                await self._wire.close()
                self._wire = None

    async def _wait_for_triton(self) -> None:
        until = time.monotonic() + self._start_timeout_s
        while True:
            try:
                await self._ask()
            except (BackendUnavailable, BackendTimeout) as exc:
                if self._reason is None:
                    _LOG.warning("waiting for Triton: %s", exc)
                self._reason = exc.message
                if time.monotonic() > until:
                    raise BackendUnavailable(
                        f"{exc.message}, for {self._start_timeout_s:g} s", hint="see LAPS_TRITON_URL"
                    ) from exc
            else:
                self._reason = None
                return
            await asyncio.sleep(_ASK_EVERY_S)

    async def _keep_asking(self) -> None:
        """Follow Triton for as long as this engine lives."""
        pause_s = _ASK_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = _ASK_EVERY_S
            if not self._breaker.probe_due():
                continue
            try:
                await self._ask()
            except (BackendUnavailable, BackendTimeout) as exc:
                self._note_failure(exc, probe=True)
                if self._breaker.closed and isinstance(exc, BackendUnavailable):
                    pause_s = _RETRY_AFTER_S  # a connection lost, or Triton gone: soon known
            except LapsError as exc:
                self._breaker.trip()
                self._note_reason(exc.message)
            except Exception:  # a defect here must not end the task that readiness hangs on
                _LOG.exception("asking Triton failed")
                self._breaker.failed(probe=True)
            else:
                self._breaker.succeeded(probe=True)
                self._note_reason(None)

    async def _ask(self) -> None:
        """Whether Triton serves our model, now.

        Raises:
            BackendUnavailable, BackendTimeout: it does not answer, or is not ready.
            BackendMismatch: it is ready, for something else.
        """
        wire, files = self._connected(), self._files
        not_ready = BackendUnavailable(f"Triton at {self._url} is not ready", hint=_HINT)
        if not await wire.server_ready(timeout_s=_ASK_TIMEOUT_S):
            raise not_ready
        try:
            graph = await wire.graph(files.name, files.version, timeout_s=_ASK_TIMEOUT_S)
            check_contract(graph, files, self._info, largest_batch=self._largest_batch)
            if not await wire.model_ready(files.name, files.version, timeout_s=_ASK_TIMEOUT_S):
                raise not_ready
        except Refused as exc:
            raise BackendMismatch(
                f"Triton at {self._url} does not serve {files.name!r} version {files.version}: {exc}",
                hint="give Triton and this server the same model repository",
            ) from exc
        await self._open_region(wire)

    async def _call(self, clips: UInt8Array, deadline: float | None) -> Float32Array:
        if not self._breaker.closed:
            raise BackendUnavailable(self._reason or f"Triton at {self._url} is not available", hint=_HINT)
        remaining = math.inf if deadline is None else deadline - time.monotonic()
        if remaining <= 0:
            raise _too_late()
        call = Call(
            model=self._files.name,
            version=self._files.version,
            input=self._files.manifest.clip.name,
            output=self._files.manifest.output.name,
            timeout_s=min(self._timeout_s, remaining),
        )
        try:
            logits = await self._send(call, clips)
        except BackendTimeout as exc:
            if remaining < self._timeout_s:
                # The request's own haste says nothing about Triton: it must not open the breaker for everybody.
                raise _too_late() from exc
            self._note_failure(exc)
            raise
        except BackendUnavailable as exc:
            self._note_failure(exc)
            raise
        except Refused as exc:
            if exc.unknown:  # it has come back without our memory, or without the model: the next ask tells
                raise BackendUnavailable(f"Triton at {self._url} does not know this call: {exc}", hint=_HINT) from exc
            raise InternalError(f"Triton at {self._url} failed on a call: {exc}") from exc
        self._breaker.succeeded()
        return logits

    async def _send(self, call: Call, clips: UInt8Array) -> Float32Array:
        """In shared memory where there is some, else over the wire."""
        wire, segment = self._connected(), self._segment
        if segment is None:
            return await wire.infer(call, clips, None)
        # A slot whose call was given up may still be read by Triton while the next call's clips are written over it.
        # That spoils a result which nobody gets: rows of a batch do not depend on each other.
        slot = self._slots.pop()
        try:
            region = Region(segment.name, slot * self._slot_bytes, clips.nbytes)
            await _to_the_end(asyncio.to_thread(segment.write, region.offset, clips))
            try:
                return await wire.infer(call, clips, region)
            except Refused as exc:
                if not exc.unknown:
                    raise
                await self._open_region(wire)
                return await wire.infer(call, clips, region)
        finally:
            self._slots.append(slot)

    def _note_failure(self, exc: LapsError, *, probe: bool = False) -> None:
        self._breaker.failed(probe=probe)
        if not self._breaker.closed:
            self._note_reason(exc.message)

    def _note_reason(self, reason: str | None) -> None:
        """Keep what ``/readyz`` says, and log the two moments that matter."""
        if reason is not None and self._reason is None:
            _LOG.error("no calls to Triton until it is back: %s", reason)
        elif reason is None and self._reason is not None:
            _LOG.info("Triton at %s is back", self._url)
        self._reason = reason

    @property
    def _slot_bytes(self) -> int:
        return self._largest_batch * math.prod(self._info.clip_shape)

    def _reserve_memory(self) -> Segment | None:
        try:
            return Segment(len(self._slots) * self._slot_bytes)
        except OSError as exc:
            if self._shared_memory == "on":
                raise BackendMismatch(
                    f"no {len(self._slots) * self._slot_bytes} bytes of shared memory: {exc.strerror}",
                    hint="enlarge /dev/shm (docker: --shm-size), lower LAPS_TRITON_CALLS, or "
                    "LAPS_TRITON_SHARED_MEMORY=auto",
                ) from exc
            _LOG.warning("clips go to Triton over the wire: no shared memory (%s)", exc.strerror)
            return None

    async def _open_region(self, wire: Wire) -> None:
        """Let Triton open our segment where it has not; do without where it cannot."""
        segment = self._segment
        if segment is None:
            return
        known = await wire.regions(timeout_s=_ASK_TIMEOUT_S)
        for name in self._left_open & known:
            await self._close_region(name)
        self._left_open.clear()
        if segment.name in known:
            return
        try:
            await wire.open_region(segment.name, segment.size_bytes, timeout_s=_ASK_TIMEOUT_S)
        except Refused as exc:
            if segment.name in await wire.regions(timeout_s=_ASK_TIMEOUT_S):
                return  # a call that found it missing was here first
            if self._shared_memory == "on":
                raise BackendMismatch(
                    f"Triton at {self._url} cannot open shared memory of this server: {exc}",
                    hint="run both on one host with one /dev/shm, or LAPS_TRITON_SHARED_MEMORY=auto",
                ) from exc
            _LOG.info("clips go to Triton over the wire: it cannot open shared memory of this server")
            self._give_memory_back()
        else:
            _LOG.info("clips go to Triton in shared memory")

    async def _close_region(self, name: str) -> None:
        """Ask until Triton has let go; one that does not answer is left alone."""
        with contextlib.suppress(BackendUnavailable, BackendTimeout, TimeoutError):
            async with asyncio.timeout(_CLOSE_REGION_S):
                while True:
                    try:
                        await self._connected().close_region(name, timeout_s=_ASK_TIMEOUT_S)
                    except Refused:  # in use
                        await asyncio.sleep(_RETRY_AFTER_S)
                    else:
                        return

    def _give_memory_back(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _connected(self) -> Wire:
        if self._wire is None:
            raise InternalError("the engine is not started")
        return self._wire


async def _to_the_end(writing: Coroutine[None, None, None]) -> None:
    """Await a write which goes on in its thread when this is cancelled: until it ends, its place is not free."""
    task = asyncio.ensure_future(writing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the answer was complete", hint=HINT_WORK)
