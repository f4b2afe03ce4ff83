"""The whole HTTP app in one function."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from laps_server import __version__
from laps_server.access.key_file import KeyFile
from laps_server.api import errors
from laps_server.api.access import AccessMiddleware, Door
from laps_server.api.admin import router as admin_router
from laps_server.api.admission import Admission, AdmissionMiddleware
from laps_server.api.early_refusal import EarlyRefusals
from laps_server.api.metrics import metrics_router
from laps_server.api.middleware import RequestMiddleware
from laps_server.api.openapi import DocumentedApp
from laps_server.api.page import page_router
from laps_server.api.reference import reference_router
from laps_server.api.request_report import RequestReport
from laps_server.api.routes import Services, router
from laps_server.api.unread_body import UnreadBodyMiddleware
from laps_server.api.uploads import UploadLimits
from laps_server.errors import LapsError
from laps_server.metrics import Metrics
from laps_server.runtime import Runtime
from laps_server.settings import Settings

if TYPE_CHECKING:  # it is an extra
    from laps_server.tracing import Traces

_LOG = logging.getLogger(__name__)


def create_app(
    runtime: Runtime,
    settings: Settings,
    *,
    keys: KeyFile | None = None,
    metrics: Metrics | None = None,
    traces: Traces | None = None,
) -> FastAPI:
    """Put the HTTP front before a runtime.

    Models load while the port already answers, so ``/livez`` tells a slow start from a dead process. If
    one cannot be loaded, the app stays up and never gets ready; ``runtime.served.failure`` has the reason.

    Args:
        runtime: from :func:`laps_server.runtime.build_runtime`; started and closed with the app.
        settings: limits and defaults of requests.
        keys: who may use it; everybody if None.
        metrics: what ``/metrics`` tells; it is the runtime's observer too. Without it there is no such path.
        traces: get the span of each classify request; closed by whoever made them.
    """

    # Start and stop, with the server.
    async def start() -> None:
        try:
            await runtime.start()
        except Exception as exc:  # whatever loading raises must be logged, not lost with the task
            hint = f" ({exc.hint})" if isinstance(exc, LapsError) and exc.hint else ""
            _LOG.critical("models cannot be served: %s%s", exc, hint)
        else:
            _LOG.info("ready")
            runtime.follow_repository()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(start(), name="start")
        yield
        starting.cancel()  # a stop during the start does not wait for models
        await asyncio.gather(starting, return_exceptions=True)
        if (refusals := app.state.early_refusals) is not None:
            refusals.tell()
        await runtime.close()

    # The app, and what its routes stand on.
    app = DocumentedApp(
        title="LAPS video classification",
        version=__version__,
        description="Send a video, get ranked labels and per-frame scores.",
        lifespan=lifespan,
        docs_url=None,  # ours is below
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the client's Host header and lose the upload
    )
    admission = Admission(runtime, settings)
    app.state.services = Services(
        settings=settings,
        runtime=runtime,
        uploads=UploadLimits(
            max_bytes=settings.max_upload_bytes,
            idle_timeout_s=settings.upload_idle_timeout_s,
            min_bytes_per_s=settings.min_upload_bytes_per_s,
            folder=settings.upload_dir,
        ),
    )
    app.state.admission = admission
    door = Door(keys, settings.internal_port)
    report = RequestReport(metrics)
    # A refusal is to be in the traces too, so there every request goes the long way.
    app.state.early_refusals = None
    if traces is None:
        app.state.early_refusals = EarlyRefusals(
            door=door, admission=admission, report=report, two_ports=settings.internal_port is not None
        )
    # Routes, then what surrounds every request.
    app.include_router(router)
    app.include_router(admin_router)
    app.include_router(page_router())
    app.include_router(reference_router(app.title))
    if metrics is not None:
        metrics.watch(runtime, admission)
        app.include_router(metrics_router(metrics))
    errors.install(app)
    app.add_middleware(AdmissionMiddleware, admission=admission)
    app.add_middleware(AccessMiddleware, door=door)
    if settings.cors_origins:
        # Outside the door: a browser asks without a key whether it may send one.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(UnreadBodyMiddleware)
    app.add_middleware(RequestMiddleware, report=report, traces=traces)  # added last, so outermost
    return app
