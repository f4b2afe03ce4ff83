"""``GET /metrics`` for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from laps_server.metrics import CONTENT_TYPE, Metrics


def metrics_router(metrics: Metrics) -> APIRouter:
    """The route."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    async def scrape() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return router
