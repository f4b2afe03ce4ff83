"""A second model beside the one that answers: seen in metrics, never by a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.fake import FakeEngine
from laps_server.errors import VideoCorrupt
from laps_server.models.repository import read_model
from laps_server.observe import Shadowed, Stage
from laps_server.runtime import Runtime
from laps_server.scheduler import Scheduler, Submission, View
from laps_server.served_models import ServedModel, ServedModels
from laps_server.settings import Settings
from laps_server.shadow_rule import ShadowRule
from laps_server.shadows import Shadows
from laps_server.video.decode_pool import DecodePool
from laps_server.view_grid import ViewGrid
from support.bare_runtime import classify, started
from support.live_servers import running_server
from support.model_repositories import colour_graph, write_model
from support.plain_videos import GREEN, RED, write_colour_video


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Seen:
    """Keeps what became of shadows."""

    def __init__(self) -> None:
        self.shadows: list[Shadowed] = []

    def observe(self, stage: Stage) -> None:
        if isinstance(stage, Shadowed):
            self.shadows.append(stage)

    @property
    def outcomes(self) -> list[str]:
        return [stage.outcome for stage in self.shadows]


class Pair:
    """A runtime whose version 1 answers and whose version 2 is a shadow; engines that a test controls."""

    def __init__(self, folder: Path, *, share: float = 1.0, draws: tuple[float, ...] = ()) -> None:
        self.video = write_colour_video(folder / "clip.mp4", [RED] * 20)
        self.seen = Seen()
        self.engines = [FakeEngine(clip_shape=(4, 32, 32, 3), classes=4) for _ in range(2)]
        models = []
        for version, engine in enumerate(self.engines, start=1):
            write_model(folder / "models", "colours", version=version)
            scheduler = Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=512)
            models.append(ServedModel(read_model(folder / "models" / "colours", version), scheduler))
        served = ServedModels(models, default_model=None, by_number_alone=frozenset({("colours", 2)}))
        pool = DecodePool(2)
        left = iter(draws)
        rules = [ShadowRule("colours", 2, share, "colours")]
        shadows = Shadows(
            rules, served=served, decode_pool=pool, observer=self.seen, draw=lambda: next(left) if draws else 0.0
        )
        self.runtime = Runtime(served, pool, shadows=shadows)

    async def until(self, outcomes: list[str]) -> None:
        async with asyncio.timeout(30):
            while self.seen.outcomes != outcomes:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(pair: Pair) -> AsyncGenerator[Pair, None]:
    async with started(pair.runtime):
        yield pair


async def test_an_answer_comes_first_and_its_shadow_is_compared(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        pair.engines[1].gate.clear()
        assert (await classify(pair.runtime, pair.video)).version == 1, "it does not wait for its shadow"
        assert pair.seen.outcomes == []
        pair.engines[1].gate.set()
        await pair.until(["ok"])
        (stage,) = pair.seen.shadows
        assert (stage.model, stage.shadow, stage.agreed, stage.shift) == ("colours/1", "colours/2", True, 0.0)


async def test_a_request_that_comes_in_drops_the_shadow_before_it(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        pair.engines[1].gate.clear()
        await classify(pair.runtime, pair.video)
        await pair.engines[1].running.wait()
        await classify(pair.runtime, pair.video)
        assert pair.seen.outcomes == ["dropped"]
        pair.engines[1].gate.set()
        await pair.until(["dropped", "ok"])


async def test_it_is_dropped_before_the_request_is_answered(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        pair.engines[1].gate.clear()
        await classify(pair.runtime, pair.video)
        await pair.engines[1].running.wait()
        pair.engines[0].gate.clear()
        second = asyncio.create_task(classify(pair.runtime, pair.video))
        await pair.until(["dropped"])
        assert not second.done()
        pair.engines[0].gate.set()
        assert (await second).version == 1
        pair.engines[1].gate.set()


async def test_the_views_of_a_shadow_that_wait_are_nobodys_work(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        pair.engines[1].gate.clear()
        await classify(pair.runtime, pair.video, ClassifyOptions(views=ViewGrid.parse("20x1")))
        shadow = pair.runtime.served.find("colours", 2).scheduler
        async with asyncio.timeout(30):
            while shadow.queued_views < 10:
                await asyncio.sleep(0.01)
        assert shadow.ahead(1000).all <= 4 / 2 + 4, "what runs, and what is put together to run next"
        pair.engines[1].gate.set()


async def test_no_shadow_begins_while_others_are_in_flight(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        with pair.runtime.job(ClassifyOptions()):
            await classify(pair.runtime, pair.video)
            await pair.until(["dropped"])
        assert pair.engines[1].batches == []


@pytest.mark.parametrize(("failure", "code"), [(RuntimeError("x"), "internal"), (VideoCorrupt("x"), "video_corrupt")])
async def test_a_shadow_that_fails_fails_alone(tmp_path: Path, failure: Exception, code: str) -> None:
    async with running(Pair(tmp_path)) as pair:
        pair.engines[1].failure = failure
        assert (await classify(pair.runtime, pair.video)).version == 1
        await pair.until([code])
        assert (await classify(pair.runtime, pair.video)).version == 1


async def test_only_its_share_of_the_requests_has_one(tmp_path: Path) -> None:
    async with running(Pair(tmp_path, share=0.05, draws=(0.05, 0.9, 0.049))) as pair:
        for _ in range(3):
            await classify(pair.runtime, pair.video)
        await pair.until(["ok"])


async def test_the_shadow_itself_has_none_and_answers_who_names_it(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        assert (await classify(pair.runtime, pair.video, ClassifyOptions(version=2))).version == 2
        await classify(pair.runtime, pair.video)
        await pair.until(["ok"])


async def test_videos_of_shadows_are_let_go(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        await classify(pair.runtime, pair.video)
        await pair.until(["ok"])
        before = descriptors()
        pair.engines[1].gate.clear()
        for _ in range(5):
            await classify(pair.runtime, pair.video)
        pair.engines[1].gate.set()
        await pair.until(["ok"] + ["dropped"] * 4 + ["ok"])
        await asyncio.sleep(0)
        assert descriptors() == before


async def test_a_shadow_that_runs_ends_with_the_runtime(tmp_path: Path) -> None:
    async with running(Pair(tmp_path)) as pair:
        pair.engines[1].gate.clear()
        await classify(pair.runtime, pair.video)
    assert pair.seen.outcomes == ["dropped"]


async def test_what_is_in_the_background_is_no_reason_to_refuse_a_request() -> None:
    engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
    scheduler = Scheduler(engine, batch_sizes=(1,), max_queued_views=512)
    await scheduler.start()
    done = asyncio.Event()
    first: Submission[int] = scheduler.submit(lambda _: done.set(), announced=1)
    first.add([View(0, lambda out: out.fill(0))])
    await done.wait()
    first.stop()
    await asyncio.sleep(0.05)
    assert scheduler.view_s > 0
    scheduler.submit(lambda _: None, announced=500, background=True)
    assert scheduler.work_s == 0
    scheduler.submit(lambda _: None, announced=5)
    assert scheduler.work_s == pytest.approx(5 * scheduler.view_s)
    await scheduler.close()


# Rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a:0.05", ShadowRule("a", None, 0.05, None)),
        ("a/2:1", ShadowRule("a", 2, 1.0, "a")),
        ("b=a:0.5", ShadowRule("a", None, 0.5, "b")),
        ("b=a/12:0.5", ShadowRule("a", 12, 0.5, "b")),
    ],
)
def test_rules_are_read(text: str, rule: ShadowRule) -> None:
    assert ShadowRule.parse(text) == rule


@pytest.mark.parametrize(
    "text", ["a", "a:0", "a:1.5", "a:-1", "a:.", "a:1.", "a/0:1", "a/b:1", "a/1/2:1", ":1", "a:1e-3"]
)
def test_other_rules_are_refused_by_the_setting(text: str) -> None:
    with pytest.raises(ValidationError, match="is not NAME:SHARE"):
        Settings(shadow=(text,))


# A server ----------------------------------------------------------------------------------------------


def test_metrics_alone_tell_of_a_shadow(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "colours", version=1)
    blind = colour_graph(frames=4, size=32, classes=4)
    weight = blind.graph.initializer[0]
    weight.raw_data = b"\0" * len(weight.raw_data)  # whatever it sees is dark
    write_model(tmp_path / "models", "colours", version=2, graph=blind)
    video = write_colour_video(tmp_path / "clip.mp4", [GREEN] * 10).read_bytes()
    with running_server(tmp_path / "models", env={"LAPS_SHADOW": "colours/2:1"}) as server:

        def value(name: str, **labels: str) -> float:
            families = text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text)
            wanted = {"model": "colours", "version": "1", "shadow": "colours/2", **labels}.items()
            return sum(s.value for f in families for s in f.samples if s.name == name and wanted <= s.labels.items())

        (model,) = httpx.get(f"{server.url}/models").json()["models"]
        assert model["versions"] == [1, 2]
        answer = httpx.post(f"{server.url}/classify", content=video, timeout=60)
        assert (answer.status_code, answer.json()["model"]["version"]) == (200, 1)
        assert answer.json()["predictions"][0]["label"] == "green"
        deadline = time.monotonic() + 30
        while not value("laps_shadow_requests_total", outcome="ok"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert value("laps_shadow_agreed_total") == 0
        assert value("laps_shadow_score_shift_count") == value("laps_shadow_seconds_count") == 1
        assert value("laps_shadow_score_shift_sum") > 0.5
        assert value("laps_shadow_requests_total") == 1
        assert "shadow" not in answer.text
