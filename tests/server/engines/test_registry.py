"""The table of engines, and the error of one that is not installed."""

from __future__ import annotations

import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from laps_server.engines.base import Engine
from laps_server.engines.choices import DEFAULT_BATCH_VIEWS, Candidate, EngineName, Precision
from laps_server.engines.machine import Machine
from laps_server.engines.registry import ENGINES, candidates
from laps_server.errors import BadParameter
from laps_server.models.repository import ModelFiles, read_model
from laps_server.runtime import build_runtime
from laps_server.settings import Settings
from support.model_repositories import add_int8, colour_graph, write_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return read_model(write_model(tmp_path), 1)


def settings_of(name: str, precision: str = "float32") -> Settings:
    given = {"engine": name, "precision": precision, "triton_url": "grpc://127.0.0.1:1", "threads": 1}
    return Settings.model_validate(given)


def test_the_setting_can_choose_what_has_a_row_and_nothing_else() -> None:
    assert set(get_args(EngineName)) == set(ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_builds_the_engine_that_it_names(name: EngineName, files: ModelFiles) -> None:
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES[name].build(files, "float32", settings_of(name), executor)
    assert engine.info.name == name
    assert engine.info.clip_shape == files.manifest.clip_shape
    assert engine.info.precision == "float32"
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
    def build(_files: ModelFiles, _: Precision, _settings: Settings, _executor: ThreadPoolExecutor) -> Engine:
        raise ImportError("libodd.so.1: cannot open shared object file")

    odd = replace(ENGINES["ort"], builder=build, needs=("json",), extra="odd")
    assert odd.installed
    with ThreadPoolExecutor(1) as executor, pytest.raises(BadParameter, match=r"libodd\.so\.1") as caught:
        odd.build(files, "float32", Settings(), executor)
    assert caught.value.hint == "pip install 'laps-server[odd]'"


PLAIN = Machine("plain", frozenset({"avx2"}))
RICH = Machine("rich", frozenset({"amx_bf16", "avx512_bf16", "avx512_fp16", "amx_int8", "avx512_vnni"}))


def ways(found: tuple[Candidate, ...]) -> list[str]:
    return [f"{candidate.engine} {candidate.precision}" for candidate in found]


@pytest.mark.parametrize(
    ("engine", "precision", "machine", "expected"),
    [
        ("auto", "auto", PLAIN, ["openvino float32", "ort float32"]),
        ("auto", "auto", RICH, ["openvino float32", "openvino bfloat16", "openvino float16", "ort float32"]),
        ("auto", "auto", replace(RICH, device="cuda"), ["ort float32"]),
        ("auto", "auto", replace(RICH, device="tensorrt"), ["ort float32", "ort float16"]),
        ("auto", "float32", RICH, ["openvino float32", "ort float32"]),
        ("auto", "bfloat16", RICH, ["openvino bfloat16"]),
        ("openvino", "auto", PLAIN, ["openvino float32"]),
        ("ort", "auto", RICH, ["ort float32"]),
        ("triton", "auto", RICH, ["triton float32"]),
    ],
)
def test_what_may_run_a_model_follows_from_the_settings_and_the_processor(
    files: ModelFiles, engine: str, precision: str, machine: Machine, expected: list[str]
) -> None:
    assert ways(candidates(files.manifest, settings_of(engine, precision), machine)) == expected


def test_untrained_weights_are_computed_in_nothing_coarser_unless_asked(files: ModelFiles) -> None:
    untrained = replace(files.manifest, untrained=True)
    assert ways(candidates(untrained, settings_of("openvino", "auto"), RICH)) == ["openvino float32"]
    assert ways(candidates(untrained, settings_of("openvino", "bfloat16"), RICH)) == ["openvino bfloat16"]


@pytest.mark.parametrize(("engine", "precision"), [("openvino", "bfloat16"), ("ort", "float16"), ("auto", "int8")])
def test_a_precision_that_nothing_computes_natively_is_refused(files: ModelFiles, engine: str, precision: str) -> None:
    with pytest.raises(BadParameter, match=f"'colours' cannot be run by engine {engine} in precision {precision}"):
        candidates(files.manifest, settings_of(engine, precision), PLAIN)


def test_without_openvino_nothing_else_is_missed(monkeypatch: pytest.MonkeyPatch, files: ModelFiles) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert ways(candidates(files.manifest, settings_of("auto", "auto"), RICH)) == ["ort float32"]
    with pytest.raises(BadParameter, match="engine openvino needs openvino"):
        candidates(files.manifest, settings_of("openvino", "auto"), RICH)


HOLDS = {
    **{"engine": "openvino", "instruction_set": "amx_int8", "views": 1000, "labels": 4},
    **{"agreement": 1.0, "mean_shift": 0.001, "p99_shift": 0.01, "holds": True},
}


@pytest.mark.parametrize(
    ("record", "machine", "chosen"),
    [
        (HOLDS, RICH, True),
        (HOLDS | {"holds": False}, RICH, False),
        (HOLDS | {"instruction_set": "avx512_vnni"}, RICH, False),
        (HOLDS | {"engine": "ort"}, RICH, False),
        (HOLDS | {"instruction_set": "avx2"}, PLAIN, True),
        (None, RICH, False),
    ],
)
def test_int8_is_tried_unasked_only_where_it_was_measured_to_hold(
    tmp_path: Path, record: dict[str, object] | None, machine: Machine, *, chosen: bool
) -> None:
    folder = write_model(tmp_path, "quantised")
    add_int8(folder, colour_graph(frames=4, size=32, classes=4), *([] if record is None else [record]))
    manifest = read_model(folder, 1).manifest
    assert ("openvino int8" in ways(candidates(manifest, settings_of("auto", "auto"), machine))) == chosen
    assert ways(candidates(manifest, settings_of("auto", "int8"), machine)) == ["openvino int8", "ort int8"]
