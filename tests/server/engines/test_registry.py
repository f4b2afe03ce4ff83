"""The table of engines, and the error of one that is not installed."""

from __future__ import annotations

import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from laps_server.engines.base import Engine
from laps_server.engines.choices import DEFAULT_BATCH_VIEWS, EngineName
from laps_server.engines.registry import ENGINES, RegisteredEngine
from laps_server.errors import BadParameter
from laps_server.models.repository import ModelFiles, read_model
from laps_server.runtime import build_runtime
from laps_server.settings import Settings
from support.model_repositories import write_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return read_model(write_model(tmp_path), 1)


def settings_of(name: str) -> Settings:
    return Settings.model_validate({"engine": name, "triton_url": "grpc://127.0.0.1:1", "threads": 1})


def test_the_setting_can_choose_what_has_a_row_and_nothing_else() -> None:
    assert set(get_args(Settings.model_fields["engine"].annotation)) == set(ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_builds_the_engine_that_it_names(name: EngineName, files: ModelFiles) -> None:
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES[name].build(files, settings_of(name), executor)
    assert engine.info.name == name
    assert engine.info.clip_shape == files.manifest.clip_shape
    assert ENGINES[name].installed


@pytest.mark.parametrize("name", ENGINES)
def test_batches_are_as_large_as_their_default_says_where_nobody_says_another_size(name: EngineName) -> None:
    assert max(settings_of(name).batch_sizes) == DEFAULT_BATCH_VIEWS[name]


def test_an_extra_that_a_row_names_is_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "server" / "pyproject.toml").read_text())["project"]
    extras = {engine.extra for engine in ENGINES.values()} - {None}
    assert extras
    assert extras <= project["optional-dependencies"].keys()


def test_an_engine_that_is_not_installed_is_told_before_the_models_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient", None)
    assert not ENGINES["triton"].installed
    settings = settings_of("triton").model_copy(update={"model_repository": tmp_path / "none"})
    with pytest.raises(BadParameter, match="engine triton needs tritonclient") as caught:
        build_runtime(settings)
    assert caught.value.hint == "pip install 'laps-server[triton]'"


def test_an_engine_whose_packages_cannot_be_imported_is_told_the_same_way(files: ModelFiles) -> None:
    def build(_files: ModelFiles, _settings: Settings, _executor: ThreadPoolExecutor) -> Engine:
        raise ImportError("libodd.so.1: cannot open shared object file")

    odd = RegisteredEngine(name="ort", builder=build, runs=frozenset({"ONNX graph"}), needs=("json",), extra="odd")
    assert odd.installed
    with ThreadPoolExecutor(1) as executor, pytest.raises(BadParameter, match=r"libodd\.so\.1") as caught:
        odd.build(files, Settings(), executor)
    assert caught.value.hint == "pip install 'laps-server[odd]'"
