"""From an entry to an entry with int8, on a model that is quantised in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laps_export.errors import ConfigError, DataError, LapsExportError, RepositoryError
from laps_export.quantize import write_int8 as writing
from laps_export.quantize.view_file import ViewSets
from laps_export.quantize.write_int8 import QuantizedVersion, TrainedVersion, measure_int8, read_trained, write_int8
from laps_server.models.repository import discover
from support.quantizable_models import colour_views, write_convolution

EVEN = (1.0, 1.0)
FIRST_HURTS = (300.0, 1.0)
BOTH_HURT = (300.0, 300.0)


@pytest.fixture(autouse=True)
def isa(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Tests run on any processor; which one it is, is said."""

    def say(name: str) -> None:
        monkeypatch.setattr(writing, "int8_instruction_set", lambda: name)

    say("avx512_vnni")
    return say


@pytest.fixture
def views() -> ViewSets:
    return ViewSets(colour_views(12, seed=1), colour_views(24, seed=2), colour_views(1000, seed=3))


def trained(tmp_path: Path, *, outliers: tuple[float, float] = EVEN) -> TrainedVersion:
    write_convolution(tmp_path / "models", outliers=outliers)
    return read_trained(tmp_path / "models", "colours", None)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(written: QuantizedVersion) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((written.path / "laps.json").read_bytes())
    return document


def test_the_version_gets_one_more_graph_and_a_server_takes_it(tmp_path: Path, views: ViewSets) -> None:
    source = trained(tmp_path)
    before = everything(tmp_path / "models")
    done = write_int8(source, views)
    assert [(r.engine, r.instruction_set, r.views, r.labels, r.holds) for r in done.records] == [
        ("openvino", "avx512_vnni", 1000, 4, True),
        ("ort", "avx512_vnni", 1000, 4, True),
    ]
    assert (done.published, done.left_out) == (True, 0)
    after = everything(tmp_path / "models")
    assert after.keys() - before.keys() == {"colours/1/model.int8.onnx"}
    assert {name for name in before if before[name] != after[name]} == {"colours/1/laps.json"}
    (files,) = discover(tmp_path / "models", versions="all")  # which checks every hash
    int8 = files.manifest.precisions["int8"]
    assert (int8.file, int8.parity.tolerance) == ("model.int8.onnx", None)
    assert 0 < int8.parity.max_abs_diff < 1
    assert {record.engine for record in int8.engines} == {"ort", "openvino"}
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_what_holds_nowhere_is_not_published_unless_it_is_kept(tmp_path: Path, views: ViewSets) -> None:
    source = trained(tmp_path, outliers=BOTH_HURT)
    before = everything(tmp_path / "models")
    done = write_int8(source, views)
    assert not any(record.holds for record in done.records)
    assert not done.published
    assert everything(tmp_path / "models") == before
    done = write_int8(source, views, keep=True)
    assert done.published
    assert [record["holds"] for record in manifest(done)["precisions"]["int8"]["engines"]] == [False, False]


def test_layers_that_hurt_are_left_out(tmp_path: Path, views: ViewSets) -> None:
    done = write_int8(trained(tmp_path, outliers=FIRST_HURTS), views)
    assert (done.left_out, done.layer_groups, done.published) == (1, 3, True)


def test_another_machine_adds_its_records_to_the_graph_that_is_there(
    tmp_path: Path, views: ViewSets, isa: Callable[[str], None]
) -> None:
    write_int8(trained(tmp_path), views)
    graph = (tmp_path / "models" / "colours" / "1" / "model.int8.onnx").read_bytes()
    isa("amx_int8")
    for _ in range(2):  # the second time in the place of the first
        done = measure_int8(read_trained(tmp_path / "models", "colours", 1), views.gate)
    document = manifest(done)
    assert [(r["engine"], r["instruction_set"]) for r in document["precisions"]["int8"]["engines"]] == [
        ("openvino", "avx512_vnni"),
        ("ort", "avx512_vnni"),
        ("openvino", "amx_int8"),
        ("ort", "amx_int8"),
    ]
    assert (done.path / "model.int8.onnx").read_bytes() == graph
    discover(tmp_path / "models", versions="all")


def test_there_must_be_a_graph_to_measure(tmp_path: Path, views: ViewSets) -> None:
    with pytest.raises(RepositoryError) as caught:
        measure_int8(trained(tmp_path), views.gate)
    assert caught.value.code == "no_int8_graph"


def test_views_of_too_few_labels_are_refused_before_the_work(tmp_path: Path, views: ViewSets) -> None:
    few = ViewSets(views.calibration, views.tuning, colour_views(1000, labels=3))
    with pytest.raises(DataError) as caught:
        write_int8(trained(tmp_path), few)
    assert caught.value.code == "too_few_labels"
    assert "3 different labels, 4 are needed" in caught.value.message


def test_a_version_that_was_written_meanwhile_is_left_alone(tmp_path: Path, views: ViewSets) -> None:
    source = trained(tmp_path)
    path = source.folder / "laps.json"
    path.write_text(path.read_text().replace('"temperature": 1.0', '"temperature": 2.0'))
    before = everything(tmp_path / "models")
    with pytest.raises(RepositoryError) as caught:
        write_int8(source, views)
    assert caught.value.code == "version_changed"
    assert everything(tmp_path / "models") == before


def test_a_processor_without_int8_is_told_first(
    tmp_path: Path, views: ViewSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise ConfigError("none", code="no_int8")

    monkeypatch.setattr(writing, "int8_instruction_set", refuse)
    monkeypatch.setattr(writing, "quantize", None)
    with pytest.raises(ConfigError):
        write_int8(trained(tmp_path), views)


def _untrained(models: Path) -> None:
    write_convolution(models, untrained=True)


def _plan(models: Path) -> None:
    path = write_convolution(models) / "1" / "laps.json"
    document = json.loads(path.read_bytes())
    plan = {"tensorrt": "10", "gpu": "one", "compute_capability": "9.0", "batch_sizes": [1]}
    path.write_text(json.dumps({**document, "plan": plan}))


def _other_graph(models: Path) -> None:
    (write_convolution(models) / "1" / "model.onnx").write_bytes(b"another")


def _no_labels(models: Path) -> None:
    path = write_convolution(models) / "1" / "laps.json"
    document = json.loads(path.read_bytes())
    del document["labels"]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (_untrained, "untrained"),
        (_plan, "not_a_graph"),
        (_other_graph, "hash_differs"),
        (_no_labels, "damaged_entry"),
        (lambda _: None, "no_such_entry"),
    ],
    ids=["untrained", "plan", "another graph", "no labels", "nothing"],
)
def test_what_cannot_be_quantised_is_refused_by_name(tmp_path: Path, write: Callable[[Path], None], code: str) -> None:
    write(tmp_path / "models")
    with pytest.raises(LapsExportError) as caught:
        read_trained(tmp_path / "models", "colours", None)
    assert caught.value.code == code


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_convolution(tmp_path / "models")
    with pytest.raises(RepositoryError, match="version 2"):
        read_trained(tmp_path / "models", "colours", 2)
