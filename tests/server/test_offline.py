"""Files classified without HTTP, by a program that wants answers and not their printing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import BadParameter, ModelNotFound, NoModels, UnsupportedContainer
from laps_server.offline import classify_files, find_videos
from laps_server.settings import Settings
from support.model_repositories import write_model
from support.plain_videos import BLUE, RED, write_colour_video
from support.thread_pools import pools_since


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_model(tmp_path / "models")
    return Settings(model_repository=tmp_path / "models", threads=1, decode="thread")


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_colour_video(folder / "red.mp4", [RED] * 12)
    write_colour_video(folder / "blue.mp4", [BLUE] * 12)
    (folder / "broken.mp4").write_bytes(b"no video")
    return find_videos([folder])


async def test_each_file_has_its_answer_or_its_error_and_nothing_is_printed(
    settings: Settings, videos: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    async with classify_files(settings, videos, ClassifyOptions(), concurrency=2) as results:
        found = {result.path.stem: result async for result in results}
    assert found.keys() == {"red", "blue", "broken"}
    for name in ("red", "blue"):
        answer = found[name].answer
        assert answer is not None
        assert (answer.predictions[0].label, found[name].error) == (name, None)
    assert found["broken"].answer is None
    assert isinstance(found["broken"].error, UnsupportedContainer)
    assert capfd.readouterr() == ("", "")


async def test_a_file_that_cannot_be_read_is_a_result_too(settings: Settings, tmp_path: Path) -> None:
    async with classify_files(settings, [tmp_path / "gone.mp4"], ClassifyOptions(), concurrency=1) as results:
        (result,) = [result async for result in results]
    assert isinstance(result.error, BadParameter)
    assert result.error.message == "cannot be read: No such file or directory"


@pytest.mark.parametrize("stop_after", [0, 1, 3])
async def test_its_runtime_is_closed_however_early_it_is_left(
    settings: Settings, videos: list[Path], stop_after: int
) -> None:
    before = set(threading.enumerate())
    async with classify_files(settings, videos, ClassifyOptions(), concurrency=1) as results:
        for _ in range(stop_after):
            await anext(results)
        assert "infer" in pools_since(before)
    assert pools_since(before) == set()


async def test_options_are_refused_before_the_first_file(settings: Settings, videos: list[Path]) -> None:
    before = set(threading.enumerate())
    with pytest.raises(ModelNotFound, match="no model 'none'"):
        async with classify_files(settings, videos, ClassifyOptions(model="none"), concurrency=1):
            pytest.fail("it was entered")
    assert pools_since(before) == set()


async def test_a_repository_without_models_is_refused_before_the_first_file(videos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(NoModels):
        async with classify_files(Settings(model_repository=tmp_path / "no"), videos, ClassifyOptions(), concurrency=1):
            pytest.fail("it was entered")
