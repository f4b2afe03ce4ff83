"""A served app in this process, over an engine that a test holds, so that a test sees what is held for a request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from laps_server.access.key_file import KeyFile
from laps_server.api.app import create_app
from laps_server.arrays import UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.fake import FakeEngine
from laps_server.metrics import Metrics
from laps_server.runtime import Runtime
from laps_server.scheduler import Scheduler
from laps_server.settings import Settings
from support.bare_runtime import fake_runtime
from support.live_servers import served


class HeldEngine(FakeEngine):
    """A fake engine that a test holds from another thread."""

    def __init__(self) -> None:
        super().__init__(clip_shape=(4, 32, 32, 3), classes=4)
        self.go_on = threading.Event()
        self.go_on.set()

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        await asyncio.to_thread(self.go_on.wait)
        return await super().infer(clips, deadline=deadline)

    async def close(self) -> None:
        self.go_on.set()
        await super().close()


@dataclass
class InProcess:
    """A served app whose inside a test can see."""

    url: str
    app: FastAPI
    engine: HeldEngine
    scheduler: Scheduler
    runtime: Runtime

    @property
    def requests(self) -> int:
        active: int = self.app.state.admission.active
        return active


@contextmanager
def in_process(
    repository: Path,
    *,
    max_queued_views: int = 1024,
    send_buffer: int | None = None,
    decode_workers: int = 2,
    keys: KeyFile | None = None,
    metrics: Metrics | None = None,
    **settings: Any,
) -> Iterator[InProcess]:
    engine = HeldEngine()
    runtime = fake_runtime(
        repository,
        engine,
        max_queued_views=max_queued_views,
        decode_workers=decode_workers,
        max_answers_bytes=settings.get("max_answers_bytes"),
    )
    app = create_app(runtime, Settings(model_repository=repository, **settings), keys=keys, metrics=metrics)
    with served(app, send_buffer=send_buffer) as url:
        try:
            yield InProcess(url, app, engine, runtime.served.versions[0].scheduler, runtime)
        finally:
            engine.go_on.set()


def until(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def open_uploads(folder: Path) -> int:
    """Descriptors of this process that lead to files in ``folder``, deleted ones too."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(link.readlink()).startswith(str(folder))
    return found
