"""The page for people: plain files of ``laps_server/web``, with headers that let them load nothing from elsewhere.

The page itself is at ``/``, its parts are under ``/web``. They name each other by relative addresses, so that the page
works behind a proxy that adds a path.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from laps_server.errors import PathNotFound

WEB = Path(__file__).parent.parent / "web"

# A module with another type is not run, so none is left to the machine's table of types.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data: blob:",  # thumbnails come as base64; a plot becomes a PNG by way of a blob
    "media-src": "blob:",  # the chosen video is played from the browser's own copy
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    # Files keep their names when they change: a browser checks each time and gets 304.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in _POLICY.items()),
    "Permissions-Policy": "camera=(self), microphone=()",
}


def page_router() -> APIRouter:
    """Routes of the page; only files that are there now are ever served."""
    router = APIRouter(include_in_schema=False)
    files = {file.relative_to(WEB).as_posix(): file for file in WEB.rglob("*") if file.suffix in _TYPES}

    @router.head("/")
    @router.get("/")
    def page(request: Request) -> Response:
        return _answer(files["index.html"], request)

    @router.head("/web/{name:path}")
    @router.get("/web/{name:path}")
    def part(name: str, request: Request) -> Response:
        if name not in files:
            raise PathNotFound("the page has no such part", hint="the page is at /")
        return _answer(files[name], request)

    return router


def _answer(file: Path, request: Request) -> Response:
    content = file.read_bytes()
    # Of the content, not of the time that it was written: installers and images set that as they like.
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}
    known = (part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(","))
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[file.suffix])
