"""Clips in shared memory that Triton has open too: reserved, opened, lent batch by batch, and given back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from laps_server.arrays import UInt8Array
from laps_server.engines.triton.wire import Refused, Region, Wire
from laps_server.errors import BackendMismatch, BackendTimeout, BackendUnavailable
from laps_server.shared_memory import SharedBlock, abandoned

_LOG = logging.getLogger(__name__)

_TIMEOUT_S = 2.0
_CLOSE_S = 5.0  # Triton keeps a region open for as long as a batch reads it
_CLOSE_PAUSE_S = 0.1


class SharedClips:
    """One block with a place for each batch in flight; see :meth:`settle`.

    Where Triton cannot open it, nothing is lent any more and clips go over the wire.
    """

    def __init__(self, *, required: bool, places: int, place_bytes: int) -> None:
        """Nothing is reserved yet.

        Args:
            required: refuse to do without.
            places: most batches in flight.
            place_bytes: of the largest batch.
        """
        self._required = required
        self._free = list(range(places))
        self._places = places
        self._place_bytes = place_bytes
        self._block: SharedBlock | None = None
        self._without = False

    async def settle(self, wire: Wire) -> None:
        """Have Triton let go of what dead gateways left, and open our block; nothing where that is done.

        To be called again from time to time: a Triton that was restarted has opened nothing, one that read a dead
        gateway's block when we came may be done with it, and another gateway may have died since.

        Raises:
            BackendMismatch: shared memory is required, and not to be had.
            BackendUnavailable, BackendTimeout: Triton is not there.
        """
        if self._without:
            return
        try:
            known = await wire.regions(timeout_s=_TIMEOUT_S)
            if self._block is None:  # the sweep first, and with patience: what it frees may be what we need
                await _sweep(wire, known, patience_s=_CLOSE_S)
                self._block = SharedBlock(self._places * self._place_bytes)
            else:
                await _sweep(wire, known, patience_s=0)
            if self._block.name not in known:
                await self._open(wire, self._block)
        except OSError as exc:
            self._do_without(
                f"no {self._places * self._place_bytes} bytes of shared memory: {exc.strerror}",
                "enlarge /dev/shm (docker: --shm-size), lower LAPS_TRITON_CONCURRENCY, or set "
                "LAPS_TRITON_SHARED_MEMORY=auto",
            )
        except (Refused, BackendUnavailable) as exc:
            # Over gRPC an API that is not allowed looks like a server that is not there.
            if isinstance(exc, BackendUnavailable) and not await wire.server_ready(timeout_s=_TIMEOUT_S):
                raise
            self._do_without(
                f"Triton cannot open shared memory of this server: {exc}",
                "run both on one host with one /dev/shm, or set LAPS_TRITON_SHARED_MEMORY=auto",
            )

    @asynccontextmanager
    async def lend(self, clips: UInt8Array) -> AsyncIterator[Region | None]:
        """A region that holds ``clips`` while a batch runs; None where nothing is shared."""
        block = self._block
        if block is None or self._without:
            yield None
            return
        # Triton may still read a place whose batch was given up while the next clips are written over it.
        # That spoils a result that nobody gets: rows of a batch do not depend on each other.
        place = self._free.pop()
        try:
            region = Region(block.name, place * self._place_bytes, clips.nbytes)
            await _to_the_end(asyncio.to_thread(block.write, region.offset, clips))
            yield region
        finally:
            self._free.append(place)
            self._let_go_if_unused()

    @property
    def shared(self) -> bool:
        """Whether Triton reads from the block."""
        return self._block is not None and not self._without

    async def close(self, wire: Wire) -> None:
        """Let Triton close the block, and remove it; where Triton does not answer, its file stays to be swept."""
        block, self._block, self._without = self._block, None, True
        if block is not None:
            let_go = False
            try:
                let_go = await _close_region(wire, block.name, until=time.monotonic() + _CLOSE_S)
            except BackendUnavailable:
                let_go = True  # a Triton that is gone has closed it
            finally:
                block.close(keep_file=not let_go)

    async def _open(self, wire: Wire, block: SharedBlock) -> None:
        try:
            await wire.open_region(block.name, block.size_bytes, timeout_s=_TIMEOUT_S)
        except Refused:
            if block.name not in await wire.regions(timeout_s=_TIMEOUT_S):
                raise
            return  # another batch found it missing and was here first
        _LOG.info("clips go to Triton in shared memory")

    def _do_without(self, reason: str, hint: str) -> None:
        if self._required:
            raise BackendMismatch(reason, hint=hint)
        _LOG.warning("clips go to Triton over the wire: %s", reason)
        self._without = True
        self._let_go_if_unused()

    def _let_go_if_unused(self) -> None:
        if self._without and self._block is not None and len(self._free) == self._places:
            self._block.close()
            self._block = None


async def _sweep(wire: Wire, known: set[str], *, patience_s: float) -> None:
    """Remove the blocks of dead gateways, once Triton has closed those that it has open.

    What it still reads when patience is over stays as it is: its file is what the next sweep knows it by.
    """
    until = time.monotonic() + patience_s
    with contextlib.ExitStack() as stack:
        for left in [stack.enter_context(left) for left in abandoned()]:
            # Unlike in close: who just answered and cannot be reached now is not gone, and has it open still.
            with contextlib.suppress(BackendUnavailable):
                if left.name not in known or await _close_region(wire, left.name, until=until):
                    left.remove()


async def _close_region(wire: Wire, name: str, *, until: float) -> bool:
    """Have Triton let go of it, again and again if it is in use, at least once; whether it has."""
    while True:
        try:
            await wire.close_region(name, timeout_s=_TIMEOUT_S)
        except BackendTimeout:
            return False
        except Refused:  # in use
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_CLOSE_PAUSE_S)
        else:
            return True


async def _to_the_end(writing: Coroutine[None, None, None]) -> None:
    """Await a write that goes on in its thread when this is cancelled: until it ends, its place is not free."""
    task = asyncio.ensure_future(writing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
