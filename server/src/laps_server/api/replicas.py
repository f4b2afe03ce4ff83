"""``GET /replicas``: where each replica listens by itself, as Prometheus' HTTP service discovery reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

REPLICAS_PATH = "/replicas"


def replicas_router(addresses: Callable[[], Awaitable[tuple[str, ...]]]) -> APIRouter:
    """The route; ``addresses`` finds ``host:port`` of each replica that lives."""
    router = APIRouter(include_in_schema=False)

    @router.get(REPLICAS_PATH)
    async def list_replicas() -> JSONResponse:
        found = await addresses()
        return JSONResponse([{"targets": list(found), "labels": {"job": "laps"}}])

    return router
