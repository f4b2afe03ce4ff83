"""Where replicas listen by themselves: one small actor in the cluster, which each replica tells again and again.

Ray's proxy hides replicas, and Serve's public interface tells how many there are and not where. Whoever needs each one,
as Prometheus does, asks here. What a replica told last is forgotten after a while, so a killed one leaves no trace; and
an actor that was killed with its machine starts elsewhere, empty, and soon knows all again.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import ray
from ray.exceptions import GetTimeoutError, RayError

from laps_server.errors import Unavailable
from laps_server.observe import now

NAMESPACE = "laps"
ANNOUNCE_S = 2.0
FORGET_S = 10.0
_NAME = "replicas"
_TIMEOUT_S = 5.0


class ReplicaDirectory:
    """Addresses, and when each was told."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def announce(self, address: str) -> None:
        """A replica lives and listens at ``host:port``."""
        self._told[address] = now()

    def withdraw(self, address: str) -> None:
        """It will soon not."""
        self._told.pop(address, None)

    def addresses(self) -> tuple[str, ...]:
        """Of all that told lately, in order."""
        oldest = now() - FORGET_S
        self._told = {address: told for address, told in self._told.items() if told >= oldest}
        return tuple(sorted(self._told))


def _actor() -> Any:
    """The one actor of the cluster; made by whoever asks first."""
    remote = cast("Any", ray.remote(ReplicaDirectory))
    return remote.options(
        name=_NAME, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0, max_restarts=-1
    ).remote()


async def replica_addresses() -> tuple[str, ...]:
    """``host:port`` of every replica.

    Raises:
        Unavailable: nobody can tell now.
    """
    try:
        found: tuple[str, ...] = await asyncio.to_thread(
            lambda: ray.get(_actor().addresses.remote(), timeout=_TIMEOUT_S)
        )
    except (RayError, GetTimeoutError) as exc:
        raise Unavailable("where replicas listen cannot be told now", hint="ask again", retry_after_s=1) from exc
    return found


async def announce(address: str) -> None:
    """Tell of an address once.

    Raises:
        RayError: it could not be told.
    """
    await asyncio.to_thread(lambda: ray.get(_actor().announce.remote(address), timeout=_TIMEOUT_S))


async def withdraw(address: str) -> None:
    """Tell that nobody listens there any more.

    Raises:
        RayError: it could not be told.
    """
    await asyncio.to_thread(lambda: ray.get(_actor().withdraw.remote(address), timeout=_TIMEOUT_S))


def forget_directory() -> None:
    """End the actor, with the deployment."""
    ray.kill(_actor())
