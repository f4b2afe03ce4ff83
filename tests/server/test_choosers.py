"""From settings to the engine that runs a model, with the engines and the views that there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from laps_server.engines import choose as choose_module
from laps_server.errors import NotReady
from laps_server.runtime import build_runtime
from laps_server.served_models import ServedModel
from laps_server.settings import Settings
from laps_server.trial_views import trial_views
from support.bare_runtime import classify, started
from support.model_repositories import write_model
from support.plain_videos import GREEN, write_colour_video


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models")
    return tmp_path / "models"


def settings_for(repository: Path, **more: object) -> Settings:
    given = {
        "engine": "auto",
        "precision": "auto",
        "cache_dir": repository.parent / "cache",
        "threads": 1,
        "decode": "thread",
    }
    return Settings.model_validate({"model_repository": repository, **given, **more})


async def served(settings: Settings) -> ServedModel:
    async with started(build_runtime(settings)) as runtime:
        (model,) = runtime.served.versions
        return model


async def test_a_start_tries_what_there_is_and_the_next_one_knows(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "laps_server.engines.choose"):
        first = (await served(settings_for(repository))).engine_info
        again = (await served(settings_for(repository))).engine_info
    assert first.choice is not None
    assert {(item.candidate.engine, item.candidate.precision) for item in first.choice.measured} >= {
        ("openvino", "float32"),
        ("ort", "float32"),
    }
    assert (first.name, first.precision) == (first.choice.candidate.engine, first.choice.candidate.precision)
    assert again == first
    assert ["found in" in message for message in caplog.messages] == [True, False]
    assert len(list((repository.parent / "cache").iterdir())) == 1


@pytest.mark.parametrize("changed", [{"threads": 2}, {"precision": "float32"}, {"cache_dir": None}])
async def test_a_choice_answers_for_its_own_settings_alone(
    repository: Path, caplog: pytest.LogCaptureFixture, changed: dict[str, object]
) -> None:
    await served(settings_for(repository))
    with caplog.at_level(logging.INFO, "laps_server.engines.choose"):
        await served(settings_for(repository, **changed))
    (message,) = caplog.messages
    assert "found in" in message


async def test_a_change_of_the_model_is_another_question(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    await served(settings_for(repository))
    write_model(repository.parent / "others", temperature=0.5)
    with caplog.at_level(logging.INFO, "laps_server.engines.choose"):
        await served(settings_for(repository.parent / "others"))
    assert "found in" in caplog.text


async def test_one_engine_in_float32_is_tried_by_nobody(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laps_server.choosers.trial_views", None)
    info = (await served(settings_for(repository, engine="ort", precision="float32"))).engine_info
    assert (info.name, info.precision, info.choice) == ("ort", "float32", None)
    assert not (repository.parent / "cache").exists()


async def test_until_the_trial_is_over_requests_are_refused_and_the_loop_goes_on(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    going_on, reached = asyncio.Event(), asyncio.Event()

    to_thread = asyncio.to_thread

    async def held(function: Callable[..., object], *args: object) -> object:
        if function is trial_views:
            reached.set()
            await going_on.wait()
        return await to_thread(function, *args)

    monkeypatch.setattr("laps_server.choosers.asyncio.to_thread", held)
    runtime = build_runtime(settings_for(repository))
    starting = asyncio.create_task(runtime.start())
    await reached.wait()
    assert runtime.not_ready_reason == "models are loading"
    green = write_colour_video(tmp_path / "green.mp4", [GREEN] * 12)
    with pytest.raises(NotReady):
        await classify(runtime, green)
    going_on.set()
    await starting
    monkeypatch.undo()
    answer = await classify(runtime, green)
    (model,) = runtime.served.versions
    assert (answer.engine, answer.precision) == (model.engine_info.name, model.engine_info.precision)
    assert answer.predictions[0].label == "green"
    await runtime.close()


async def test_a_stop_in_the_middle_of_a_trial_leaves_no_engine(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    closed = []
    inner = choose_module.Chooser

    class Held:
        """An engine that never finishes its first batch."""

        def __init__(self, engine: object) -> None:
            self.info = engine.info  # type: ignore[attr-defined]

        async def start(self, _: tuple[int, ...]) -> None:
            reached.set()
            await asyncio.Event().wait()

        async def close(self) -> None:
            closed.append(self)

    def chooser(**given: object) -> choose_module.Chooser:
        build = given["build"]
        return inner(**given | {"build": lambda candidate: Held(build(candidate))})  # type: ignore[arg-type, operator]

    monkeypatch.setattr("laps_server.choosers.Chooser", chooser)
    runtime = build_runtime(settings_for(repository))
    starting = asyncio.create_task(runtime.start())
    await reached.wait()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await runtime.close()
    assert len(closed) == 2  # the one that was tried, and the one that stood for it
