"""One replica of Ray Serve: the whole gateway, decode and inference of a video together, in one process.

::

    Ray's proxy ── Ray Serve ── ProxiedApp ─┐
                                            ├─ the app ── Runtime
    uploads, Prometheus ────── OwnPort ─────┘

Ray begins and ends it: a replica is ready when its models are, is healthy as long as ``/readyz`` would say so, and is
drained before it ends, as the plain server on a signal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from laps_server.api.app import create_app
from laps_server.api.proxied_app import ProxiedApp
from laps_server.api.replicas import replicas_router
from laps_server.errors import InternalError, NotReady
from laps_server.logs import configure_logging
from laps_server.metrics import Metrics
from laps_server.observe import now
from laps_server.runtime import build_runtime
from laps_server.scale.model_store import fetched_repository
from laps_server.scale.own_port import OwnPort, listen_from
from laps_server.scale.replica_directory import ANNOUNCE_S, announce, replica_addresses, withdraw
from laps_server.scale.settings import RaySettings
from laps_server.serve import keys_of, traces_of
from laps_server.settings import Settings

_LOG = logging.getLogger(__name__)
_TICK_S = 0.05
_ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})  # of a machine, which for others has one of them


class Replica:
    """What Ray Serve makes once a replica.

    Args:
        given: settings that were given to whoever deployed; this machine's environment stands behind them.
        ray_given: likewise, those of Ray.
    """

    def __init__(self, given: Mapping[str, Any], ray_given: Mapping[str, Any]) -> None:
        self._given = given
        self._ray_given = ray_given

    async def __serve_build_asgi_app__(self) -> ProxiedApp:
        """The app behind the proxy; Ray calls this once, in the loop that answers requests."""
        ray_settings = RaySettings(**self._ray_given)
        self._settings = settings = replica_settings(self._given, ray_settings)
        configure_logging(settings.log_level, settings.log_format)
        # The gateway, as `laps-server serve` puts it together.
        metrics = Metrics()
        self._traces = traces_of(settings)
        self._runtime = build_runtime(settings, observer=metrics)
        app = create_app(self._runtime, settings, keys=keys_of(settings), metrics=metrics, traces=self._traces)
        app.include_router(replicas_router(replica_addresses))
        self._admission = app.state.admission
        # Its own port, which the others are told of.
        self._own = OwnPort(app, listen_from(settings.host, ray_settings.replica_port))
        self._own.start()
        host = _machine() if settings.host in _ALL_ADDRESSES else settings.host
        self._address = f"[{host}]:{self._own.port}" if ":" in host else f"{host}:{self._own.port}"
        _LOG.info("replica at http://%s", self._address)
        self._announcing = asyncio.create_task(self._announce(), name="announce")
        most = min(ray_settings.max_upload_bytes, settings.max_upload_bytes)
        return ProxiedApp(app, max_upload_bytes=most, before_shutdown=self._drain)

    async def check_health(self) -> None:
        """Ray asks before it sends the first request, and every few seconds from then on; an error is a no.

        Where Triton is away, another replica would not find it either: requests get 503 until it is back.
        """
        served = self._runtime.served
        while not served.is_started and served.failure is None:
            await asyncio.sleep(_TICK_S)
        if served.failure is not None:
            raise served.failure
        if not self._own.is_serving:
            raise InternalError("the replica's own port is closed")
        reason = self._runtime.not_ready_reason
        if reason is not None and self._settings.engine != "triton":
            raise NotReady(reason)

    async def _announce(self) -> None:
        while True:
            try:
                await announce(self._address)
            except RayError as exc:
                _LOG.warning("replicas are not told of this one: %s", exc)
            await asyncio.sleep(ANNOUNCE_S)

    async def _drain(self) -> None:
        """Ray has sent all that it will, and has had every answer; now those on the own port are waited for."""
        self._announcing.cancel()
        try:
            await withdraw(self._address)
        except RayError as exc:
            _LOG.warning("replicas still count with this one: %s", exc)
        self._runtime.drain()
        began = now()
        while (elapsed := now() - began) < max(self._settings.drain_timeout_s, self._settings.drain_notice_s):
            if self._admission.active == 0 and elapsed >= self._settings.drain_notice_s:
                break
            await asyncio.sleep(_TICK_S)
        await self._own.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)


def _machine() -> str:
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def replica_settings(given: Mapping[str, Any], ray_settings: RaySettings) -> Settings:
    """The settings of a replica on this machine.

    Raises:
        LapsError: its model repository cannot be fetched.
    """
    cores = max(1, int(ray_settings.replica_cpus))
    # Beside a GPU, decoding is what the cores are for.
    decoders = cores if ray_settings.replica_gpus else min(2, cores)
    of_cores: dict[str, Any] = {"threads": cores, "decode_workers": decoders}
    set_here = Settings(**given).model_fields_set  # given, or in this machine's environment
    settings = Settings(**{name: value for name, value in of_cores.items() if name not in set_here}, **given)
    if ray_settings.model_url is None:
        return settings
    folder = fetched_repository(ray_settings.model_url, settings.cache_dir)
    return Settings(**(settings.model_dump(exclude_unset=True) | {"model_repository": (folder,)}))
