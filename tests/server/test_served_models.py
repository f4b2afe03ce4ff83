"""Versions come and go while jobs hold on to theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.fake import FakeEngine
from laps_server.errors import InternalError, ModelNotFound, NotReady, VersionNotFound
from laps_server.models.repository import read_model
from laps_server.runtime import Runtime
from laps_server.scheduler import Scheduler
from laps_server.served_models import ServedModel, ServedModels
from laps_server.video.decode_pool import DecodePool
from support.bare_runtime import classify, started
from support.model_repositories import write_model
from support.plain_videos import GREEN, write_colour_video


class ClosingEngine(FakeEngine):
    """Knows whether it was closed, and refuses to run then."""

    def __init__(self) -> None:
        super().__init__(clip_shape=(4, 32, 32, 3), classes=4)
        self.closed = False

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        await asyncio.sleep(0.01)  # as loading does, so that others get in between

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for version in range(1, 10):
        write_model(tmp_path / "models", "colours", version=version)
    write_model(tmp_path / "models", "other")
    return tmp_path / "models"


@pytest.fixture
def green(tmp_path: Path) -> Path:
    return write_colour_video(tmp_path / "green.mp4", [GREEN] * 20)


def served(repository: Path, version: int, name: str = "colours") -> tuple[ServedModel, ClosingEngine]:
    engine = ClosingEngine()
    scheduler = Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=512)
    return ServedModel(read_model(repository / name, version), scheduler), engine


@pytest_asyncio.fixture
async def runtime(repository: Path) -> AsyncGenerator[Runtime, None]:
    models = [served(repository, 1)[0], served(repository, 1, "other")[0]]
    async with started(Runtime(ServedModels(models, default_model="colours"), DecodePool(2))) as runtime:
        yield runtime


async def test_a_version_that_is_added_answers_from_then_on(runtime: Runtime, repository: Path, green: Path) -> None:
    assert (await classify(runtime, green)).version == 1
    await runtime.served.add(served(repository, 2)[0])
    assert (await classify(runtime, green)).version == 2
    assert (await classify(runtime, green, ClassifyOptions(version=1))).version == 1
    assert [(model.name, model.version) for model in runtime.served.versions] == [
        ("colours", 1),
        ("colours", 2),
        ("other", 1),
    ]


async def test_a_version_is_closed_when_the_last_job_lets_go_of_it(
    runtime: Runtime, repository: Path, green: Path
) -> None:
    second, engine = served(repository, 2)
    await runtime.served.add(second)
    engine.gate.clear()
    job = asyncio.create_task(classify(runtime, green))
    await engine.running.wait()
    retiring = asyncio.create_task(runtime.served.retire("colours", 2))
    await asyncio.sleep(0.05)
    assert not retiring.done()
    with pytest.raises(VersionNotFound):
        await classify(runtime, green, ClassifyOptions(version=2))
    assert (await classify(runtime, green)).version == 1, "the next job gets what is served now"
    assert not engine.closed
    engine.gate.set()
    assert (await job).version == 2
    await retiring
    assert engine.closed


async def test_versions_swapped_under_load_fail_no_request(runtime: Runtime, repository: Path, green: Path) -> None:
    answered: list[int] = []
    swapping = True

    async def client() -> None:
        while swapping:
            answered.append((await classify(runtime, green)).version)

    clients = [asyncio.create_task(client()) for _ in range(6)]
    engines = []
    for version in range(2, 10):
        model, engine = served(repository, version)
        engines.append(engine)
        await runtime.served.add(model)
        await runtime.served.retire("colours", version - 1)
        async with asyncio.timeout(20):
            while answered.count(version) < 4:
                await asyncio.sleep(0.005)
    swapping = False
    await asyncio.gather(*clients)
    assert [engine.closed for engine in engines] == [True] * 7 + [False]


async def test_a_version_that_cannot_be_loaded_leaves_what_was_served(
    runtime: Runtime, repository: Path, green: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, engine = served(repository, 2)

    async def fail(batch_sizes: tuple[int, ...]) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(engine, "start", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        await runtime.served.add(second)
    assert (await classify(runtime, green)).version == 1
    assert runtime.not_ready_reason is None


async def test_what_is_served_is_not_served_twice(runtime: Runtime, repository: Path) -> None:
    with pytest.raises(InternalError, match="served already"):
        await runtime.served.add(served(repository, 1)[0])


async def test_two_that_add_one_version_at_once_add_it_once(runtime: Runtime, repository: Path) -> None:
    (first, _), (second, engine) = served(repository, 2), served(repository, 2)
    done = await asyncio.gather(runtime.served.add(first), runtime.served.add(second), return_exceptions=True)
    assert [type(result) for result in done] == [type(None), InternalError]
    assert [model.version for model in runtime.served.versions] == [1, 2, 1]
    assert engine.closed, "what is not served is not left open"


async def test_what_answers_unnamed_requests_stays(runtime: Runtime) -> None:
    with pytest.raises(InternalError, match="no model is named"):
        await runtime.served.retire("colours", 1)


async def test_the_last_version_stays(repository: Path) -> None:
    models = ServedModels([served(repository, 1)[0]], default_model=None)
    await models.start()
    with pytest.raises(InternalError, match="last version"):
        await models.retire("colours", 1)
    with pytest.raises(ModelNotFound):
        await models.retire("none", 1)
    await models.close()


async def test_a_request_is_refused_while_models_load(repository: Path) -> None:
    models = ServedModels([served(repository, 1)[0]], default_model=None)
    with pytest.raises(NotReady), models.lease(ClassifyOptions()):
        pass
