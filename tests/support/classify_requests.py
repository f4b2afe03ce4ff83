"""Requests to ``POST /classify`` and what tests look at in their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

MAX_UPLOAD_BYTES = 400_000


def post(client: httpx.Client, video: Path, **query: Any) -> dict[str, Any]:
    with video.open("rb") as file:
        response = client.post("/classify", params=query, files={"file": file})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def error_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"code", "message", "hint", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return error
