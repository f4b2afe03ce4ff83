"""A real server for each module, its clips, and both clients behind one blocking face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from laps_client import AsyncLapsClient, Classification, LapsClient, ModelInfo, Models, Readiness
from support_clips import BLUE, RED, write_colour_video
from support_models import write_model
from support_server import ServerProcess, running_server

MAX_UPLOAD_BYTES = 400_000


class Blocking:
    """An :class:`AsyncLapsClient` that each call waits for, so that one test drives both clients."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncLapsClient(*args, **options)

    def classify(self, video: Any, **options: Any) -> Classification:
        return self._runner.run(self._client.classify(video, **options))

    def models(self) -> Models:
        return self._runner.run(self._client.models())

    def model(self, name: str, *, version: int | None = None) -> ModelInfo:
        return self._runner.run(self._client.model(name, version=version))

    def ready(self) -> Readiness:
        return self._runner.run(self._client.ready())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


AnyClient = LapsClient | Blocking
Connect = Callable[..., AnyClient]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients of one of the two kinds; closes them."""
    kind = LapsClient if request.param == "sync" else Blocking
    with ExitStack() as stack:

        def make(url: str, **options: Any) -> AnyClient:
            client: AnyClient = kind(url, **options)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    write_model(folder / "models", "colours")
    write_model(folder / "models", "untrained", untrained=True)
    with running_server(folder / "models", env={"LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES)}) as process:
        yield process


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """12 red frames, then 8 blue ones."""
    return write_colour_video(folder / "clip.mp4", [RED] * 12 + [BLUE] * 8)
