"""A real server for each module, its clips, and both clients behind one blocking face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from laps_client import AsyncLapsClient, Classification, Event, LapsClient, ModelInfo, Models, Outcome, Readiness
from support.laps_command import LapsCommand
from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model
from support.plain_videos import BLUE, RED, write_colour_video

MAX_UPLOAD_BYTES = 400_000

T = TypeVar("T")


class AwaitingClient:
    """An :class:`AsyncLapsClient` that each call waits for, so that one test drives both clients."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncLapsClient(*args, **options)

    def classify(self, video: Any, **options: Any) -> Classification:
        return self._runner.run(self._client.classify(video, **options))

    def stream(self, video: Any, **options: Any) -> Generator[Event, None, None]:
        return self._each(self._client.stream(video, **options))

    def classify_many(self, paths: Any, **options: Any) -> Generator[Outcome[Any], None, None]:
        return self._each(self._client.classify_many(paths, **options))

    def models(self) -> Models:
        return self._runner.run(self._client.models())

    def model(self, name: str, *, version: int | None = None) -> ModelInfo:
        return self._runner.run(self._client.model(name, version=version))

    def ready(self) -> Readiness:
        return self._runner.run(self._client.ready())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def _each(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """The loop runs only while the next item is waited for."""
        end = object()

        async def following() -> T | object:
            return await anext(items, end)

        def each() -> Generator[T, None, None]:
            try:
                while (item := self._runner.run(following())) is not end:
                    yield item  # type: ignore[misc]
            finally:
                self._runner.run(items.aclose())

        return each()


AnyClient = LapsClient | AwaitingClient
Connect = Callable[..., AnyClient]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients of one of the two kinds; closes them."""
    kind = LapsClient if request.param == "sync" else AwaitingClient
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
    write_model(folder / "models", "colours", embedding=True, cost={"gmacs": 0.25, "parameters_m": 1.5})
    write_model(folder / "models", "untrained", untrained=True)
    with running_server(folder / "models", env={"LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES)}) as process:
        yield process


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """12 red frames, then 8 blue ones."""
    return write_colour_video(folder / "clip.mp4", [RED] * 12 + [BLUE] * 8)


@pytest.fixture
def laps(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> LapsCommand:
    """The command line, in this process; without a terminal."""
    return LapsCommand(monkeypatch, capfd)
