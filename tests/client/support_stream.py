"""An HTTP server that answers ``POST /classify`` with events, from what the real server answers to the same upload.

It stands in for the real server's own streams and speaks their format to the byte: see ``event`` and ``HEARTBEAT``.
Whatever asks for no stream is passed on.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn

HEARTBEAT = b": heartbeat\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_PASSED_ON = {"content-type", "x-request-id", "content-length"}


def event(name: str, data: Any) -> bytes:
    """One event as the server writes it."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


@dataclass
class StreamingServer:
    """``pause`` holds the stream after ``decoded`` until it is set, with heartbeats meanwhile."""

    url: str
    upstream: str
    heartbeat_s: float = 0.05
    pause: threading.Event | None = None
    heartbeats: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode()))
        segment_s = float(query.pop("segments", "0s").removesuffix("s"))
        passed = {name: value for name, value in headers.items() if name in _PASSED_ON}
        async with httpx.AsyncClient(base_url=self.upstream, headers=passed, timeout=60) as http:
            answer = await http.request(scope["method"], scope["path"], params=query, content=body)
        in_stream = headers.get("accept") == "text/event-stream" and (
            answer.status_code == 200 or _is_of_the_work(answer.json()["error"]["code"])
        )
        if not in_stream:
            content = answer.content
            if segment_s and answer.status_code == 200:
                content = json.dumps(answer.json() | _with_segments(answer.json(), segment_s)).encode()
            await _send_plain(send, answer, content)
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        watching = asyncio.create_task(self._watch(receive))
        try:
            async for piece in self._events(answer, len(body), segment_s or None):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if self.gone.is_set():
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watching.cancel()

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def _events(self, answer: httpx.Response, upload_bytes: int, segment_s: float | None) -> AsyncIterator[bytes]:
        body = answer.json()
        error = body.get("error")
        request_id = error["request_id"] if error else body["request_id"]
        views = {"temporal": 2, "spatial": 3} if error else {key: body["views"][key] for key in ("temporal", "spatial")}
        model = {"name": "colours", "version": 1} if error else body["model"]
        yield event(
            "accepted",
            {
                "request_id": request_id,
                "model": model,
                "views": views,
                "upload_bytes": upload_bytes,
                "segment_s": segment_s,
            },
        )
        if error:
            yield event("error", {"error": error, "status": answer.status_code, "retry_after_s": None})
            return
        total = views["temporal"] * views["spatial"]
        segments = _segments(body, segment_s) if segment_s else []
        decoded = {"video": body["video"], "views_total": total, "warnings": body["warnings"]}
        yield event("decoded", {**decoded, "segments_total": len(segments) or None})
        while self.pause is not None and not self.pause.is_set() and not self.gone.is_set():
            await asyncio.sleep(self.heartbeat_s)
            self.heartbeats += 1
            yield HEARTBEAT
        if segment_s is None:
            for done in range(1, total + 1):
                partial = {"predictions": body["predictions"], "views_done": done, "views_total": total}
                yield event("partial", partial)
            yield event("result", body)
            return
        for segment in segments:
            counts = {"segments_done": segment["index"] + 1, "segments_total": len(segments)}
            yield event("segment", {**segment, **counts})
        yield event("result", body | _with_segments(body, segment_s))


def _is_of_the_work(code: str) -> bool:
    """Errors of parameters and of the upload come before the stream; those of the video are events."""
    return code in {"unsupported_container", "unsupported_codec", "no_video_stream", "video_corrupt"}


async def _send_plain(send: Any, answer: httpx.Response, content: bytes) -> None:
    headers = [(b"content-type", answer.headers["content-type"].encode())]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _segments(body: dict[str, Any], segment_s: float) -> list[dict[str, Any]]:
    """Stretches that rank the frames which the real server sampled in them."""
    frames, end_s = body["frames"], body["video"]["duration_s"]
    starts = [number * segment_s for number in range(int(end_s / segment_s) + 1) if number * segment_s < end_s]
    found = []
    for index, (start_s, stop_s) in enumerate(pairwise([*starts, end_s])):
        rows = [
            row for time_s, row in zip(frames["time_s"], frames["scores"], strict=True) if start_s <= time_s < stop_s
        ]
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        ranked = [{**prediction, "score": mean} for prediction, mean in zip(body["predictions"], means, strict=True)]
        found.append(
            {
                "index": index,
                "start_s": start_s,
                "end_s": stop_s,
                "predictions": sorted(ranked, key=lambda item: -item["score"]),
                "frames": None,
                "views": body["views"],
                "thumbnails": None,
                "warnings": [],
            }
        )
    return found


def _with_segments(body: dict[str, Any], segment_s: float) -> dict[str, Any]:
    segments = _segments(body, segment_s)
    labels = [prediction["label"] for prediction in body["predictions"]]
    scores = [{item["label"]: item["score"] for item in segment["predictions"]} for segment in segments]
    timeline = {
        "labels": labels,
        "start_s": [segment["start_s"] for segment in segments],
        "end_s": [segment["end_s"] for segment in segments],
        "scores": [[row[label] for label in labels] for row in scores],
    }
    return {"segments": segments, "timeline": timeline, "frames": None}


@contextmanager
def streaming_server(upstream: str) -> Iterator[StreamingServer]:
    """Run it in a thread, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = StreamingServer(f"http://127.0.0.1:{listener.getsockname()[1]}", upstream)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield app
        finally:
            server.should_exit = True
            thread.join(30)
