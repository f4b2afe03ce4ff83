"""Runs the app under uvicorn until a signal, then drains.

On SIGTERM or SIGINT: ``/readyz`` turns 503 and new requests are refused at once, the port stays open until the
requests in flight are answered (or ``drain_timeout_s`` passes), then the process ends with 0. A second signal, not
the echo of the first, ends it without waiting.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from laps_server.access.key_file import KeyFile
from laps_server.api.admission import Admission
from laps_server.api.app import create_app
from laps_server.api.early_refusal import FrontProtocol
from laps_server.errors import BadParameter
from laps_server.metrics import Metrics
from laps_server.runtime import Runtime, build_runtime
from laps_server.settings import Settings

if TYPE_CHECKING:  # it is an extra
    from laps_server.tracing import Traces

_LOG = logging.getLogger(__name__)
EXIT_MODEL_FAILED = 1
_ECHO_S = 0.5  # make, shells and supervisors signal a whole group, so one stop can arrive twice
BACKLOG = 2048
_CLOSE_TIMEOUT_S = 2  # for connections that are still open when the drain is over


class DrainingServer(uvicorn.Server):
    """uvicorn's server with a drain in front of its shutdown."""

    def __init__(self, config: uvicorn.Config, *, runtime: Runtime, admission: Admission, settings: Settings) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._admission = admission
        self._settings = settings
        self._drain_began: float | None = None
        self.exit_code = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """First signal: drain. Second: stop now."""
        now = time.monotonic()
        if self._drain_began is not None:
            if now - self._drain_began > _ECHO_S:
                signal.signal(sig, signal.SIG_DFL)
                signal.raise_signal(sig)
            return
        self._drain_began = now
        self._runtime.drain()

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; whether to exit."""
        if self._runtime.served.failure is not None:
            self.exit_code = EXIT_MODEL_FAILED
            self.should_exit = True
        if self._drain_began is not None:
            elapsed = time.monotonic() - self._drain_began
            drained = self._admission.active == 0 and elapsed >= self._settings.drain_notice_s
            remaining = max(self._settings.drain_timeout_s, self._settings.drain_notice_s) - elapsed
            if drained or remaining <= 0:
                # What a connection has not sent yet gets the rest of the time.
                self.config.timeout_graceful_shutdown = max(_CLOSE_TIMEOUT_S, int(remaining))
                self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings) -> int:
    """Serve until a signal; returns the process's exit status.

    Raises:
        ModelError, ModelNotFound: the repository is wrong.
        BadParameter: the address cannot be listened on, or anybody could use it; raised before a model is loaded.
    """
    keys = keys_of(settings)
    metrics = Metrics()
    traces = traces_of(settings)
    runtime = build_runtime(settings, observer=metrics)
    listening = [_listen(settings.host, settings.port)]
    if settings.internal_port is not None:
        listening.append(_listen(settings.internal_host, settings.internal_port))
    for model in runtime.served.versions:
        _LOG.info("serving %s version %d", model.name, model.version)
    for sock in listening:
        host, port = sock.getsockname()[:2]
        _LOG.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    app = create_app(runtime, settings, keys=keys, metrics=metrics, traces=traces)
    config = http_config(app)
    server = DrainingServer(config, runtime=runtime, admission=app.state.admission, settings=settings)
    with ExitStack() as stack:
        if traces is not None:
            stack.callback(traces.close)
        server.run(sockets=[stack.enter_context(sock) for sock in listening])
    return server.exit_code


def http_config(app: Callable[..., Any], *, lifespan: Literal["auto", "off"] = "auto") -> uvicorn.Config:
    """How the app is served over HTTP, on this server's port and on that of a replica."""
    return uvicorn.Config(
        app,
        http=FrontProtocol,
        lifespan=lifespan,
        backlog=BACKLOG,
        log_config=None,  # the command line has set logging up
        access_log=False,  # RequestMiddleware logs with the request id
        server_header=False,
        ws="none",  # who asks for a WebSocket gets HTTP's answer, whatever is installed beside
        timeout_graceful_shutdown=_CLOSE_TIMEOUT_S,
    )


def keys_of(settings: Settings) -> KeyFile | None:
    """Who may use the server.

    Raises:
        BadParameter: nobody was told to be let in, or everybody would be by oversight.
    """
    if settings.keys_file is not None:
        keys = KeyFile(settings.keys_file)
        if not len(keys.ring):
            raise BadParameter(
                f"{settings.keys_file} holds no key, so nobody could use the server",
                hint=f"laps-server keys add NAME --file {settings.keys_file}",
            )
        return keys
    if not settings.allow_anonymous and not _is_loopback(settings.host):
        raise BadParameter(
            f"{settings.host} can be reached from other machines, and nobody needs a key",
            hint="name the file that laps-server keys add NAME makes with --keys-file (LAPS_KEYS_FILE), or say "
            "--allow-anonymous (LAPS_ALLOW_ANONYMOUS=true) where something else decides who may reach it",
        )
    return None


def traces_of(settings: Settings) -> Traces | None:
    """Where spans go, if anywhere.

    Raises:
        BadParameter: OpenTelemetry is not installed.
    """
    if not settings.traces:
        return None
    try:
        from laps_server.tracing import Traces  # noqa: PLC0415 - an extra, and no cost where it is not wanted
    except ImportError as exc:
        raise BadParameter(
            f"traces are wanted, and OpenTelemetry is not installed ({exc})",
            hint="install laps-server[otel], or set LAPS_TRACES=false",
        ) from exc
    return Traces()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything slow is done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise BadParameter(
            f"cannot listen on {host}:{port}: {exc.strerror}",
            hint="choose another with --port N, or make serve PORT=N",
        ) from exc
