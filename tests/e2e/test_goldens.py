"""The whole path, from a video file to logits, against what the authors' own code computed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.classify_options import ClassifyOptions
from laps_server.engines.base import Engine, EngineInfo, InferResult
from laps_server.engines.choices import EngineName
from laps_server.engines.registry import ENGINES
from laps_server.models.repository import discover
from laps_server.runtime import Runtime
from laps_server.scheduler import Scheduler
from laps_server.scores import clip_logits, video_logits
from laps_server.served_models import ServedModel, ServedModels
from laps_server.settings import Settings
from laps_server.video.decode_pool import DecodePool
from laps_server.view_grid import ViewGrid
from support.bare_runtime import Logits, classify, started
from support.golden_pipeline import (
    FRAME_TOLERANCE,
    GRIDS,
    MEAN_TOLERANCE,
    check_mean_logits,
    check_top5_order,
    reference,
)
from support.golden_videos import GOLDEN_VIDEOS, golden_video
from support.live_servers import ServerProcess, running_server

CORES = len(os.sched_getaffinity(0))


class RememberingEngine:
    """Runs each distinct clip once: the three grids share views, and a view costs 40 GMACs."""

    def __init__(self, inner: Engine, seen: dict[bytes, Float32Array]) -> None:
        self._inner = inner
        self._seen = seen

    @property
    def info(self) -> EngineInfo:
        return self._inner.info

    @property
    def unavailable_reason(self) -> str | None:
        return self._inner.unavailable_reason

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        await self._inner.start(batch_sizes[:1])

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        keys = [hashlib.sha256(clip.tobytes()).digest() for clip in clips]
        new = [place for place, key in enumerate(keys) if key not in self._seen]
        if new:
            result = await self._inner.infer(clips[new], deadline=deadline)
            for place, logits in zip(new, result.logits, strict=True):
                self._seen[keys[place]] = logits
        return InferResult(np.stack([self._seen[key] for key in keys]))

    async def close(self) -> None:
        await self._inner.close()


Seen = dict[EngineName, dict[bytes, Float32Array]]


@pytest.fixture(scope="module")
def seen() -> Seen:
    return {name: {} for name in ENGINES}


def view_logits(repository: Path, seen: Seen, video: Path, *, grid: str, by: EngineName) -> Float32Array:
    """The logits of every view of one video, through a whole runtime with the exported graph."""

    async def run() -> Float32Array:
        (files,) = discover(repository, versions="latest")
        with ThreadPoolExecutor(1) as executor:
            inner = ENGINES[by].build(files, "float32", Settings(threads=CORES), executor)
            engine = RememberingEngine(inner, seen[by])
            model = ServedModel(files, Scheduler(engine, batch_sizes=(1, 2, 4), max_queued_views=64))
            async with started(Runtime(ServedModels([model], default_model=None), DecodePool(1))) as runtime:
                logits = Logits()
                await classify(runtime, video, ClassifyOptions(views=ViewGrid.parse(grid), top_k=400), sink=logits)
                return logits.of_views

    return asyncio.run(run())


# Which frames a grid takes of which video is tested without a model, in tests/server/video. A grid's logits are one
# computation for all videos, so one film and one with few clips stand for the others, which take a minute each.
QUICK = (
    {(name, "1x1") for name in GOLDEN_VIDEOS} | {("carphone", "5x3")} | {("short_32_frames", grid) for grid in GRIDS}
)
CASES = [
    pytest.param(by, name, grid, marks=() if (name, grid) in quick else pytest.mark.long)
    # Every engine holds them in float32; each but the first takes one view of each video where time matters.
    for by, quick in (("ort", QUICK), ("openvino", {(name, "1x1") for name in GOLDEN_VIDEOS}))
    for name in GOLDEN_VIDEOS
    for grid in GRIDS
]


@pytest.mark.parametrize(("by", "name", "grid"), CASES)
def test_the_server_equals_the_authors_code(
    golden_repository: Path, seen: Seen, by: EngineName, name: str, grid: str
) -> None:
    logits = view_logits(golden_repository, seen, golden_video(name), grid=grid, by=by)
    check_mean_logits(video_logits(logits).astype(np.float32), reference(name, grid, "logits"))
    if grid == "1x1":
        expected_frames = reference(name, grid, "frame_logits")
        assert np.abs(logits - expected_frames).max() <= FRAME_TOLERANCE
    else:
        expected_views = reference(name, grid, "view_logits")
        assert np.abs(clip_logits(logits) - expected_views).max() <= FRAME_TOLERANCE


@pytest.fixture(scope="module")
def server(golden_repository: Path) -> Iterator[ServerProcess]:
    """The server over the exported entry."""
    with running_server(golden_repository) as server:
        yield server


def post(server: ServerProcess, video: Path, grid: str) -> dict[str, Any]:
    with video.open("rb") as file:
        response = httpx.post(
            f"{server.url}/classify",
            params={"views": grid, "top_k": 400, "view_details": True},
            files={"file": file},
            timeout=300,
        )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def check_answer(body: dict[str, Any], name: str, grid: str) -> None:
    """Scores are a softmax, so logs of scores differ from logits by one constant, which centring removes."""
    labels = (Path(__file__).parents[1] / "data" / "kinetics400_laps_order.txt").read_text().splitlines()
    scores = np.empty(400)
    for item in body["predictions"]:
        assert item["label"] == labels[item["index"]]
        scores[item["index"]] = item["score"]
    expected = reference(name, grid, "logits").astype(np.float64)
    expected_log = expected - np.log(np.exp(expected - expected.max()).sum()) - expected.max()
    assert np.abs(np.log(scores) - expected_log).max() <= 2 * MEAN_TOLERANCE
    check_top5_order(scores, expected)


@pytest.mark.parametrize("name", GOLDEN_VIDEOS)
def test_a_real_server_gives_the_same_answer(server: ServerProcess, name: str) -> None:
    body = post(server, golden_video(name), "1x1")
    check_answer(body, name, "1x1")
    expected = reference(name, "1x1", "frame_logits")[0].astype(np.float64)  # [T, K]
    frames = body["frames"]
    scores = np.array(frames["scores"])
    order = [item["index"] for item in body["predictions"]]
    # A clip that wraps is not in the order of time: `view_details` say which frame stands at each of its places.
    for place, shown in enumerate(body["view_details"][0]["frames"]):
        row = frames["time_s"].index(shown["time_s"])
        log_softmax = expected[place] - np.log(np.exp(expected[place]).sum())
        np.testing.assert_allclose(np.log(scores[row]), log_softmax[order], atol=2 * FRAME_TOLERANCE, rtol=0)


@pytest.mark.long
@pytest.mark.parametrize("grid", ["5x3", "10x3"])
@pytest.mark.parametrize("name", GOLDEN_VIDEOS)
def test_a_real_server_gives_the_same_answer_at_many_views(server: ServerProcess, name: str, grid: str) -> None:
    check_answer(post(server, golden_video(name), grid), name, grid)


def test_the_label_order_is_the_authors(golden_repository: Path) -> None:
    labels = (golden_repository / "laps-k400" / "labels.txt").read_text().splitlines()
    assert labels == (Path(__file__).parents[1] / "data" / "kinetics400_laps_order.txt").read_text().splitlines()
    assert labels != sorted(labels)


def test_the_serving_environment_alone_serves_it(golden_repository: Path) -> None:
    """``make serve`` with another repository, as the README says."""
    root = Path(__file__).parents[2]
    if not (root / ".venv" / ".installed").is_file():
        pytest.skip("the serving environment is made by make serve or make test")
    environment = {**os.environ, "MODEL_REPOSITORY": str(golden_repository)}
    process = subprocess.Popen(
        ["make", "serve", "PORT=0"],
        cwd=root,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        server = ServerProcess.attached(process)
        server.wait_ready()
        check_answer(post(server, golden_video("carphone"), "1x1"), "carphone", "1x1")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
