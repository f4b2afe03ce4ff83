"""What breaks while clients are served: decoders and Triton are killed, versions change, the disk is full."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx

from support.live_servers import ServerProcess
from support.model_repositories import write_model
from support.real_triton import Triton
from support.server_traces import children_of, decoders_of

KILL_EVERY_S = 3.0
ZYGOTE_EVERY = 10  # of so many kills one is of the process that decoders are forked from
SWAP_EVERY_S = 5.0
FILL_EVERY_S, FULL_S = 20.0, 1.5
RESTART_EVERY_S, AWAY_S = 20.0, 3.0
_BACK_S = 30.0  # that a server may take to see that Triton is back, on a busy machine
_BLOCK = bytes(64 * 1024)


@dataclass
class Done:
    """How often each fault came."""

    decoders_killed: int = 0
    zygotes_killed: int = 0
    versions_swapped: int = 0
    disk_filled: int = 0
    tritons_killed: int = 0


async def kill_decoders(servers: Sequence[ServerProcess], draw: Random, done: Done) -> None:
    """One at a time, so that no video meets two of them; now and then the process that they come from."""
    while True:
        await asyncio.sleep(KILL_EVERY_S)
        server = draw.choice(servers)
        decoders = decoders_of(server)
        zygotes = set(children_of(server.process.pid)) - set(decoders)
        kills = done.decoders_killed + done.zygotes_killed
        with suppress(ProcessLookupError):
            if zygotes and kills % ZYGOTE_EVERY == ZYGOTE_EVERY - 1:
                os.kill(draw.choice(sorted(zygotes)), signal.SIGKILL)
                done.zygotes_killed += 1
            elif decoders:
                os.kill(draw.choice(decoders), signal.SIGKILL)
                done.decoders_killed += 1


async def swap_versions(repository: Path, name: str, beside: Path, done: Done) -> None:
    """Put the next version of a model in, and take the one before the last away."""
    while True:
        await asyncio.sleep(SWAP_EVERY_S)
        version = 1 + max(int(path.name) for path in (repository / name).iterdir() if path.is_dir())
        shutil.rmtree(beside, ignore_errors=True)
        made = write_model(beside, name, version=version)
        (made / str(version)).rename(repository / name / str(version))
        shutil.rmtree(repository / name / str(version - 2), ignore_errors=True)
        done.versions_swapped += 1


async def fill_disk(folder: Path, done: Done) -> None:
    """Fill a small file system for a moment, again and again."""
    filler = folder / "filler"
    while True:
        await asyncio.sleep(FILL_EVERY_S)
        try:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(_BLOCK)
            done.disk_filled += 1
            await asyncio.sleep(FULL_S)
        finally:
            filler.unlink(missing_ok=True)


async def restart_triton(triton: Triton, server: ServerProcess, done: Done) -> None:
    """Kill it, and start it again a little later, as often as there is time for; it is there when this ends.

    Raises:
        TimeoutError: the server in front of it does not see that it is back.
    """
    while True:
        await asyncio.sleep(RESTART_EVERY_S)
        restarting = asyncio.create_task(_restart(triton, server, done))
        try:
            await asyncio.shield(restarting)
        except asyncio.CancelledError:
            await restarting
            raise


async def _restart(triton: Triton, server: ServerProcess, done: Done) -> None:
    await asyncio.to_thread(triton.kill)
    done.tritons_killed += 1
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(triton.start)
    deadline = time.monotonic() + _BACK_S
    async with httpx.AsyncClient(timeout=_BACK_S) as client:
        while (await client.get(f"{server.url}/readyz")).status_code != httpx.codes.OK:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Triton is back for {_BACK_S:g} s, and /readyz does not say so")
            await asyncio.sleep(0.2)
