"""Swagger UI at ``/docs``, from files on this machine: FastAPI's own page loads them from a public host.

Addresses are relative, as the page's are, so that a proxy may add a path.
"""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response

from laps_server.errors import PathNotFound

_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_HEADERS = {
    # The page starts itself by a script of its own, and Swagger UI sets styles on what it draws.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
}


def reference_router(title: str) -> APIRouter:
    """Routes of the reference: its page and the two files that it loads."""
    router = APIRouter(include_in_schema=False)
    static = resources.files("fastapi_offline") / "static"
    html = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="web/icon.svg",
    ).body

    @router.get("/docs")
    def reference() -> Response:
        return Response(html, headers=_HEADERS, media_type="text/html")

    @router.get("/docs/{name}")
    def part(name: str) -> Response:
        if name not in _TYPES:
            raise PathNotFound("the reference has no such part", hint="the reference is at /docs")
        return Response((static / name).read_bytes(), headers=_HEADERS, media_type=_TYPES[name])

    return router
