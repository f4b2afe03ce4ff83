"""``laps-server ray-serve``: the gateway as replicas on a Ray cluster, behind Ray's HTTP proxies.

``app`` of this module is the same for Ray's own tools, as ``serve run laps_server.scale.serve:app``, ``serve build``
and KubeRay: it is made from the environment when one of them asks for it.
"""

from __future__ import annotations

import logging
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import AutoscalingConfig, HTTPOptions, ProxyLocation
from ray.serve.schema import LoggingConfig

from laps_server.errors import BadParameter, InternalError
from laps_server.models.repository import find_versions
from laps_server.scale.haproxy import haproxy_environment
from laps_server.scale.ray_session import connect, start
from laps_server.scale.replica import Replica
from laps_server.scale.replica_directory import NAMESPACE, forget_directory
from laps_server.scale.settings import RaySettings, replica_environment
from laps_server.serve import EXIT_MODEL_FAILED, keys_of
from laps_server.settings import Settings

_LOG = logging.getLogger(__name__)
APP_NAME = "laps"
# Ray's own limit of a replica lies above ours by so much, so that ours is the one that refuses, and health checks, the
# page and refusals get through.
_BESIDE_CLASSIFY = 32
_HEALTH_PERIOD_S = 5.0
_HEALTH_TIMEOUT_S = 30.0
_DRAIN_TICK_S = 0.5
_SPARE_S = 10.0
# Of each request there is a line of ours already.
_RAYS_LOG = LoggingConfig(log_level="WARNING", enable_access_log=False)


def build(settings: Settings, ray_settings: RaySettings) -> serve.Application:
    """What Ray Serve deploys.

    Raises:
        BadParameter: a setting that replicas cannot have; or nobody, or everybody by oversight, could use them.
    """
    if settings.internal_port is not None:
        raise BadParameter(
            f"internal_port is {settings.internal_port}, and replicas of one machine cannot share a port",
            hint="leave LAPS_INTERNAL_PORT out: metrics are at each replica's own port",
        )
    keys_of(settings)  # said here, where somebody reads it
    fixed = ray_settings.min_replicas == ray_settings.max_replicas
    deployment = serve.deployment(
        name="gateway",
        num_replicas=ray_settings.min_replicas if fixed else None,
        autoscaling_config=None
        if fixed
        else AutoscalingConfig(
            min_replicas=ray_settings.min_replicas,
            max_replicas=ray_settings.max_replicas,
            target_ongoing_requests=ray_settings.target_requests,
        ),
        max_ongoing_requests=settings.max_requests + _BESIDE_CLASSIFY,
        max_queued_requests=settings.max_requests,
        health_check_period_s=_HEALTH_PERIOD_S,
        health_check_timeout_s=_HEALTH_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=_DRAIN_TICK_S,
        logging_config=_RAYS_LOG,
        # Requests by the proxy may take all of the drain, and those on the own port are waited for after them.
        graceful_shutdown_timeout_s=2 * settings.drain_timeout_s + settings.drain_notice_s + _SPARE_S,
        ray_actor_options={
            "num_cpus": ray_settings.replica_cpus,
            "num_gpus": ray_settings.replica_gpus,
            "runtime_env": {"env_vars": dict(replica_environment())},
        },
    )(serve.ingress()(Replica))
    return deployment.bind(_given(settings), ray_settings.model_dump(exclude_unset=True))


def __getattr__(name: str) -> Any:
    if name == "app":
        return build(Settings(), RaySettings())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def ray_serve(settings: Settings, ray_settings: RaySettings, *, detach: bool = False) -> int:
    """Deploy and serve until a signal, or with ``detach`` until somebody takes it down; returns the exit status.

    Raises:
        NoModels: the repository is empty.
        BadParameter: as :func:`build`; or the cluster cannot be reached, or the port is taken.
    """
    own = ray_settings.address is None
    if detach and own:
        raise BadParameter(
            "a cluster that is started here ends with the command, so nothing can stay in it",
            hint="name one with --address, as ray start --head starts it, or leave --detach out",
        )
    application = build(settings, ray_settings)
    if own and ray_settings.model_url is None:
        find_versions(*settings.model_repository, versions=settings.versions)
    port = _free_port(settings.host, settings.port) if own else settings.port
    with ExitStack() as stack:
        if ray_settings.address is None:
            stack.enter_context(haproxy_environment())
            start(ray_settings, namespace=NAMESPACE)
        else:
            connect(ray_settings.address, namespace=NAMESPACE)
        return _deployed(application, settings.host, port, detach=detach)


def _deployed(application: serve.Application, host: str, port: int, *, detach: bool) -> int:
    # Ray has its own handler, which ends the process at once. A second signal does not wait either.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    _LOG.info("Ray cluster at %s", ray.get_runtime_context().gcs_address)
    try:
        serve.start(
            proxy_location=ProxyLocation.EveryNode,
            http_options=HTTPOptions(host=host, port=port),
            logging_config=_RAYS_LOG,
        )
        try:
            serve.run(application, name=APP_NAME, route_prefix="/")
        except (RuntimeError, RayError) as exc:
            _LOG.critical("replicas cannot be started: %s", exc)
            return EXIT_MODEL_FAILED
        _LOG.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        if not detach:
            _wait_for_signal()
            _LOG.info("draining")
    finally:
        if not detach:
            _take_down()
        ray.shutdown()
    return 0


def _take_down() -> None:
    try:
        while not _drained():  # Ray ends what takes longer than a drain may
            pass
        serve.shutdown()  # type: ignore[no-untyped-call]
        forget_directory()
    except RayError as exc:
        raise InternalError(f"Ray does not end what it runs: {exc}") from exc


def _drained() -> bool:
    """Take the replicas down while the proxies still stand, with the connections of those who wait for an answer."""
    try:
        serve.delete(APP_NAME)
    except TimeoutError:  # Ray waits for a minute
        return False
    return True


def _wait_for_signal() -> None:
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        pass


def _free_port(host: str, port: int) -> int:
    """The port itself, if nobody has it; for 0 a free one, since all of Ray's proxies must get the same.

    Raises:
        BadParameter: it is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listening:
            found: int = listening.getsockname()[1]
            return found
    except OSError as exc:
        raise BadParameter(
            f"cannot listen on {host}:{port}: {exc.strerror}", hint="choose another with --port N"
        ) from exc


def _given(settings: Settings) -> dict[str, Any]:
    """What was given, and not what depends on this machine; folders as they are called from elsewhere."""
    given = settings.model_dump(exclude_unset=True)
    given["model_repository"] = settings.model_repository
    return {name: _absolute(value) for name, value in given.items()}


def _absolute(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_absolute, value))
    return value.absolute() if isinstance(value, Path) else value
