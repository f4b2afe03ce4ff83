from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from laps_server.errors import ManifestInvalid
from laps_server.models.manifest import parse_manifest
from support.model_repositories import write_model


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((write_model(tmp_path) / "1" / "laps.json").read_text())
    return loaded


def parse(document: dict[str, Any]) -> None:
    parse_manifest(json.dumps(document).encode(), where="m/1/laps.json")


def test_a_whole_manifest_is_read(document: dict[str, Any]) -> None:
    manifest = parse_manifest(json.dumps(document).encode(), where="m/1/laps.json")
    assert (manifest.clip.frames, manifest.clip.stride, manifest.grid.total) == (4, 2, 6)


@pytest.mark.parametrize(
    ("schema_version", "sampling"), [(1, "laps_uniform"), (2, "laps_uniform"), (2, "uniform_in_order")]
)
def test_a_rule_of_sampling_is_read_by_its_name(document: dict[str, Any], schema_version: int, sampling: str) -> None:
    document |= {"schema_version": schema_version, "sampling": sampling}
    manifest = parse_manifest(json.dumps(document).encode(), where="m/1/laps.json")
    assert (manifest.schema_version, manifest.sampling) == (schema_version, sampling)


def test_a_manifest_of_a_newer_exporter_is_refused_with_the_versions_that_are_read(document: dict[str, Any]) -> None:
    document |= {"schema_version": 3, "of_a_newer_exporter": True}
    with pytest.raises(ManifestInvalid, match="schema_version") as caught:
        parse(document)
    assert "reads schema_version 1 and 2" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema_version", 3, "schema_version: Input should be 1 or 2"),
        ("sampling", "uniform", "sampling: Input should be 'laps_uniform' or 'uniform_in_order'"),
        ("sampling", "uniform_in_order", "sampling uniform_in_order needs schema_version 2"),
        ("surprise", 1, "surprise"),
        ("temperature", 0.0, "temperature 0.0 must be 0.001 to 1000"),
        ("temperature", 1e-320, "must be 0.001 to 1000"),
        ("provenance", {"metrics": [1]}, "provenance.metrics"),
        ("preprocess.short_side", 10**9, "at most 4096"),
        ("labels.count", 0, "at least 1"),
        ("files", {"model.onnx": "0", "": "0"}, "must lie in the version's own folder"),
        ("files", {"model.onnx": "0", "a\0b": "0"}, "must lie in the version's own folder"),
        ("files", {"model.onnx": "0", "x" * 300: "0"}, "must lie in the version's own folder"),
        ("default_views", "5by3", "default_views"),
        ("activation", "relu", "activation"),
        ("inputs", [], "0 inputs"),
        ("preprocess.crop_width", 31, "differs from crop"),
        ("preprocess.short_side", 8, "larger than the short side"),
        ("inputs.0.frames", "8", "inputs.0.frames"),
        ("inputs.0.stride", 0, "stride"),
        ("labels.count", 4.5, "labels.count"),
        ("files", {}, "no hash of 'model.onnx'"),
        ("files", {"model.onnx": "0", "../../etc/passwd": "0"}, "must lie in the version's own folder"),
        ("precisions", {}, "precisions must hold float32"),
    ],
)
def test_a_wrong_key_is_named(document: dict[str, Any], path: str, value: object, said: str) -> None:
    target: Any = document
    *parents, last = path.split(".")
    for part in parents:
        target = target[int(part)] if part.isdecimal() else target[part]
    target[last] = value
    with pytest.raises(ManifestInvalid) as caught:
        parse(document)
    assert "m/1/laps.json" in caught.value.message
    assert said in caught.value.message


def test_a_missing_key_is_named(document: dict[str, Any]) -> None:
    del document["labels"]
    with pytest.raises(ManifestInvalid, match="labels: Field required"):
        parse(document)


def test_other_errors_are_counted(document: dict[str, Any]) -> None:
    del document["labels"], document["opset"], document["files"]
    with pytest.raises(ManifestInvalid, match=r"and 2 more"):
        parse(document)


def test_text_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ManifestInvalid, match=r"m/1/laps\.json"):
        parse_manifest(b"{", where="m/1/laps.json")
