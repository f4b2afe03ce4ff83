"""A case through the server's own decoders: the gateway's side of the sandbox, and a worker that is watched."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fuzz.cases import Case

from laps_server.errors import BadParameter, DecoderCrashed, LapsError, MediaError
from laps_server.settings import decoder_environment
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox.options import SandboxOptions
from laps_server.video.sandbox.pool import SandboxPool

Finding = Literal["crashed", "stalled", "untold error", "lost once", "endless", "slow", "large"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE = 6  # times the seconds allowed: a wall clock on a machine that does other things too
_MIB = 2**20
_POOL_LOG = "laps_server.video.sandbox.pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a case may take before it is a finding.

    Attributes:
        cpu_s: processor seconds of its worker.
        resident_mib: memory of its worker.
        address_mib: address space of its worker beyond what it begins with, where the kernel ends it.
        stall_s: seconds without a step forward.
    """

    cpu_s: float = 10.0
    resident_mib: int = 1024
    address_mib: int = 1536
    stall_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case.

    Attributes:
        told: ``parts``, or the code of the error that was told.
        parts: how many came.
        finding: what should not be, None where all is well.
        detail: what the error said.
        cpu_s: processor seconds of the worker.
        peak_mib: the most memory that the worker has held until then.
    """

    told: str
    parts: int
    finding: Finding | None
    detail: str
    cpu_s: float
    peak_mib: int


class Decoders:
    """One worker, and another where the first is lost, as in a server."""

    def __init__(self, pools: dict[str, SandboxPool], allowed: Allowed) -> None:
        self._pools, self._allowed = pools, allowed
        self._lost = _Losses()
        logging.getLogger(_POOL_LOG).addHandler(self._lost)

    async def run(self, case: Case, seed: bytes) -> Outcome:
        """Decode, and look what it took."""
        file = os.memfd_create("case", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(file), "wb") as writing:
                writing.write(case.file(seed))
            self._lost.count = 0
            before = _workers()
            told, parts, finding, detail = await self._decoded(case, file)
            after = _workers()
        finally:
            os.close(file)
        # Of the workers that were there before and after: a new one has what its zygote had taken.
        cpu_s = sum(used.cpu_s - before[pid].cpu_s for pid, used in after.items() if pid in before)
        peak_mib = max((used.peak_mib for used in after.values()), default=0)
        if finding is None and self._lost.count:
            finding = "lost once"
        if finding is None and cpu_s > self._allowed.cpu_s:
            finding = "slow"
        if finding is None and peak_mib > self._allowed.resident_mib:
            finding = "large"
            for pid in after:  # the next case is not to be blamed
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return Outcome(told, parts, finding, detail, cpu_s, peak_mib)

    async def _decoded(self, case: Case, file: int) -> tuple[str, int, Finding | None, str]:
        parts = 0
        try:
            async with asyncio.timeout(self._allowed.cpu_s * _PATIENCE):
                async for _ in self._pools[case.codecs].parts(file, case.options):
                    parts += 1
        except DecoderCrashed as exc:
            return exc.code, parts, "stalled" if "no further" in exc.message else "crashed", exc.message
        except (MediaError, BadParameter) as exc:
            return exc.code, parts, None, exc.message
        except TimeoutError:
            return "nothing", parts, "endless", f"no end after {self._allowed.cpu_s * _PATIENCE:g} s"
        except LapsError as exc:
            return exc.code, parts, "untold error", exc.message
        return "parts", parts, None, ""


@asynccontextmanager
async def started(allowed: Allowed, extract: str = SandboxOptions().extract) -> AsyncIterator[Decoders]:
    """Decoders that run until the context ends; ``extract`` names what decodes instead of the server's own."""
    options = SandboxOptions(
        memory_mib=allowed.address_mib,
        stall_s=allowed.stall_s,
        environment=decoder_environment(),
        extract=extract,
    )
    pools = {
        codecs: SandboxPool(1, limits=MediaLimits(codecs=codecs), options=options) for codecs in ("standard", "wide")
    }
    try:
        for pool in pools.values():
            await pool.start()
        yield Decoders(dict(pools), allowed)
    finally:
        for pool in pools.values():
            await asyncio.to_thread(pool.close)


class _Losses(logging.Handler):
    """Counts workers that were lost, which a second attempt hides."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "was lost" in record.getMessage()


@dataclass(frozen=True, slots=True)
class _Used:
    cpu_s: float
    peak_mib: int


def _workers() -> dict[int, _Used]:
    """The processes of all zygotes of this process."""
    found = {}
    for zygote in _children(os.getpid()):
        for worker in _children(zygote):
            with suppress(OSError, ValueError, IndexError):
                found[worker] = _used(worker)
    return found


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _used(process: int) -> _Used:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{process}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])
    return _Used((int(fields[11]) + int(fields[12])) * _TICK_S, peak_kib * 1024 // _MIB)
