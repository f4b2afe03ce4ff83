"""What is sent to a server, how each kind of server is asked, and what that costs it."""

from __future__ import annotations

import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from bench.measured import Cost
from bench.servers import Server

TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Load:
    """``requests`` of one video, ``at_once`` of them on their way."""

    requests: int
    at_once: int = 1


@dataclass(frozen=True)
class Answer:
    """The best label and its score; ``engine`` and ``precision`` where the server tells them."""

    label: str
    score: float
    engine: str | None = None
    precision: str | None = None


def ask(server: Server, video: bytes, *, model: str = "") -> Answer:
    """One video's answer; ``model`` is needed where the server has several."""
    match server.protocol:
        case "laps":
            body = _post(f"{server.url}/classify?model={model}", files={"file": video})
            best, answered = body["predictions"][0], body["model"]
            return Answer(best["label"], best["score"], answered.get("engine"), answered.get("precision"))
        case "form":
            return Answer(**_post(f"{server.url}/predict", files={"file": video}))
        case "triton":
            return _ask_triton(server, video)


def _ask_triton(server: Server, video: bytes) -> Answer:
    """By its protocol's binary extension: the header as JSON, behind it a length and the bytes."""
    tensor = struct.pack("<I", len(video)) + video
    source = {"name": "video", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
    header = json.dumps({"inputs": [source]}).encode()
    body = _post(
        f"{server.url}/v2/models/video/infer",
        content=header + tensor,
        headers={"Inference-Header-Content-Length": str(len(header))},
    )
    return Answer(**json.loads(body["outputs"][0]["data"][0]))


def _post(url: str, **options: Any) -> Any:
    return httpx.post(url, timeout=TIMEOUT_S, **options).raise_for_status().json()


def send(server: Server, load: Load, video: bytes, *, model: str = "") -> Cost:
    """Send the load: processor seconds of the server's processes and wall seconds, each by request."""
    cpu_before, began = server.cpu_s, time.perf_counter()
    with ThreadPoolExecutor(load.at_once) as pool:
        list(pool.map(lambda _: ask(server, video, model=model), range(load.requests)))
    wall_s = time.perf_counter() - began
    return Cost((server.cpu_s - cpu_before) / load.requests, wall_s / load.requests)
