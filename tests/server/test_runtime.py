"""What is built from settings: which models an engine gets, and that closing leaves nothing behind."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.fake import FakeEngine
from laps_server.engines.registry import RegisteredEngine
from laps_server.errors import ModelCorrupt, ModelNotFound, NoModels
from laps_server.runtime import build_runtime
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid
from support.bare_runtime import classify, started
from support.model_repositories import colour_graph, write_model
from support.plain_videos import GREEN, write_colour_video
from support.thread_pools import pools_since

PLAN = b"a plan"


def write_plan(repository: Path, name: str) -> None:
    parity = {"max_abs_diff": 0.0, "tolerance": 0.001, "batch_sizes": [1]}
    folder = write_model(
        repository,
        name,
        plan={"tensorrt": "11.3.4", "gpu": "a GPU", "compute_capability": "9.0", "batch_sizes": [1]},
        precisions={"float16": {"file": "model.plan", "parity": parity}},
        files={"model.plan": hashlib.sha256(PLAN).hexdigest()},
    )
    (folder / "1" / "model.onnx").unlink()
    (folder / "1" / "model.plan").write_bytes(PLAN)


async def test_no_thread_outlives_the_runtime_that_it_was_made_for(tmp_path: Path) -> None:
    write_model(tmp_path / "models")
    green = write_colour_video(tmp_path / "green.mp4", [GREEN] * 12)
    before = set(threading.enumerate())
    async with started(
        build_runtime(Settings(model_repository=tmp_path / "models", threads=1, decode="thread"))
    ) as runtime:
        await classify(runtime, green)
        assert pools_since(before) >= {"infer", "decode"}
    assert pools_since(before) == set()


async def test_no_thread_outlives_a_start_that_failed(tmp_path: Path) -> None:
    write_model(tmp_path, "even")  # is warmed before the other fails
    write_model(tmp_path, "odd", graph=colour_graph(frames=8, size=32, classes=4))
    before = set(threading.enumerate())
    runtime = build_runtime(Settings(model_repository=tmp_path, threads=1, decode="thread"))
    with pytest.raises(ModelCorrupt):
        await runtime.start()
    assert pools_since(before) >= {"infer"}
    await runtime.close()
    assert pools_since(before) == set()


def test_plans_are_left_to_an_engine_that_runs_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_model(tmp_path, "colours")
    write_plan(tmp_path, "colours-trt")
    with caplog.at_level(logging.INFO, "laps_server.runtime"):
        in_process = build_runtime(Settings(model_repository=tmp_path))
    assert [model.files.name for model in in_process.served.versions] == ["colours"]
    assert caplog.messages == ["colours-trt is a TensorRT plan, which engine ort does not run"]
    behind = build_runtime(
        Settings(model_repository=tmp_path, engine="triton", precision="auto", triton_url="grpc://127.0.0.1:1")
    )
    assert [model.files.name for model in behind.served.versions] == ["colours", "colours-trt"]


def test_an_old_name_of_a_setting_is_warned_of_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, "colours")
    monkeypatch.setenv("LAPS_TRITON_CALLS", "2")
    build_runtime(Settings(model_repository=tmp_path))
    (warning,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "LAPS_TRITON_CALLS is now LAPS_TRITON_CONCURRENCY" in warning


def test_plans_alone_are_nothing_to_serve_in_process(tmp_path: Path) -> None:
    write_plan(tmp_path, "colours-trt")
    with pytest.raises(NoModels, match="holds TensorRT plans alone"):
        build_runtime(Settings(model_repository=tmp_path))


def test_a_default_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_model(tmp_path, "colours")
    with pytest.raises(ModelNotFound, match="no model 'none' is served"):
        build_runtime(Settings(model_repository=tmp_path, default_model="none"))


@pytest.mark.parametrize(
    ("names", "default"), [("shapes", "shapes"), ("none,shapes,colours", "shapes"), ("none,other", "colours")]
)
def test_of_several_default_models_the_first_that_is_there_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: str, default: str
) -> None:
    for name in ("colours", "shapes"):
        write_model(tmp_path, name)
    runtime = build_runtime(Settings(model_repository=tmp_path, default_model=names))
    assert runtime.served.default_model == default
    warned = ["default_model: none of none, other is served, so colours is the default"]
    assert caplog.messages == (warned if names == "none,other" else [])


class WarmedEngine(FakeEngine):
    """Remembers which batch sizes it was to run once."""

    warmed: tuple[int, ...] = ()

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        self.warmed = batch_sizes


@pytest.mark.parametrize(("most", "sizes"), [(None, (1, 2, 4, 8)), (3, (1, 2)), (1, (1,)), (100, (1, 2, 4, 8))])
async def test_a_model_is_warmed_and_run_in_batches_that_its_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int | None, sizes: tuple[int, ...]
) -> None:
    engine = WarmedEngine(clip_shape=(4, 32, 32, 3), classes=4)
    monkeypatch.setattr(RegisteredEngine, "build", lambda *_: engine)
    write_model(tmp_path / "models", schema_version=2, max_batch=most)
    green = write_colour_video(tmp_path / "green.mp4", [GREEN] * 12)
    runtime = build_runtime(Settings(model_repository=tmp_path / "models", max_batch_views=8, decode="thread"))
    async with started(runtime):
        await classify(runtime, green, ClassifyOptions(views=ViewGrid(16, 3)))
    assert engine.warmed == sizes
    assert max(len(batch) for batch in engine.batches) == sizes[-1]
    assert len(np.concatenate(engine.batches)) == 48
