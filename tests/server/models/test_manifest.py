from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from laps_server.errors import ManifestInvalid
from laps_server.models.manifest import Cost, Embedding, parse_manifest
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
        ("sampling", "uniform", "sampling: Input should be 'laps_uniform', 'uniform_in_order', 'slowfast_uniform'"),
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
        ("output.kind", "per_step", "kind per_step needs steps"),
        ("output.steps", [[0, 1]], "kind per_frame has no steps"),
        ("output", {"name": "logits", "kind": "per_step", "steps": []}, "pairs of a first place"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[1, 0]]}, "pairs of a first place"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[-1, 0]]}, "pairs of a first place"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[0, 1, 2]]}, "output.steps.0"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[1, 2], [0, 3]]}, "follow each other"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[0, 3], [1, 2]]}, "follow each other"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[0, 3], [0, 3]]}, "follow each other"),
        ("output", {"name": "logits", "kind": "per_step", "steps": [[0, 1], [2, 4]]}, "place 4 of a clip of 4 frames"),
        ("preprocess.interpolation", "bicubic", "preprocess.interpolation"),
        ("preprocess.long_side", "ceil", "preprocess.long_side: Input should be 'floor' or 'round'"),
        ("preprocess.crop_order", "across", "preprocess.crop_order"),
        ("preprocess.crop_offset", "even", "preprocess.crop_offset: Input should be 'up' or 'down'"),
        ("sampling", "segments_of_5", "sampling segments_of_5 needs a multiple of 5 frames, not 4"),
        ("average", "votes", "average: Input should be 'logits' or 'probabilities'"),
        ("max_batch", 0, "max_batch 0 must be 1 to 1024"),
        ("max_batch", 1025, "max_batch 1025 must be 1 to 1024"),
        ("embedding", {"name": "embedding", "size": 0}, "size 0 must be 1 to 65536"),
        ("embedding", {"name": "frame_logits", "size": 8}, "both named 'frame_logits'"),
        ("embedding", {"name": "embedding", "size": 8, "unit": True}, "embedding.unit"),
        ("cost", {"gmacs": -0.1, "parameters_m": 1.0}, "gmacs -0.1 and parameters_m 1.0 must be at least 0"),
        ("cost", {"gmacs": 0.1}, "cost.parameters_m"),
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


PARITY = {"max_abs_diff": 0.3, "tolerance": None, "batch_sizes": [1, 16]}
RECORD = {
    **{"engine": "openvino", "instruction_set": "amx_int8", "views": 1000, "labels": 4},
    **{"agreement": 0.995, "mean_shift": 0.01, "p99_shift": 0.05, "holds": True},
}


def with_records(document: dict[str, Any], *records: dict[str, Any]) -> dict[str, Any]:
    int8 = {"file": "model.int8.onnx", "parity": PARITY, "engines": [*records]}
    return document | {
        "schema_version": 2,
        "precisions": document["precisions"] | {"int8": int8},
        "files": document["files"] | {"model.int8.onnx": "0"},
    }


def test_records_of_engines_are_found_by_engine_and_instruction_set(document: dict[str, Any]) -> None:
    failed = {**RECORD, "engine": "ort", "agreement": 0.9, "holds": False}
    changed = with_records(document, RECORD, failed)
    int8 = parse_manifest(json.dumps(changed).encode(), where="m/1/laps.json").precisions["int8"]
    assert (int8.file, int8.parity.tolerance) == ("model.int8.onnx", None)
    found = {(engine, isa): int8.record(engine, isa) for engine in ("ort", "openvino") for isa in ("amx_int8", "avx2")}
    assert {of: record and record.holds for of, record in found.items()} == {
        ("openvino", "amx_int8"): True,
        ("openvino", "avx2"): None,
        ("ort", "amx_int8"): False,
        ("ort", "avx2"): None,
    }
    assert int8.record("openvino", None) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": "triton"}, "engine: Input should be 'ort' or 'openvino'"),
        ({"instruction_set": ""}, "instruction_set must name one"),
        ({"processor": "fast"}, "processor: Unexpected keyword argument"),
        ({"labels": 0}, "must be at least 1"),
        ({"agreement": 1.1}, "must be 0 to 1"),
        ({"agreement": 0.994}, "its own figures do not hold"),
        ({"mean_shift": 0.0101}, "its own figures do not hold"),
        ({"p99_shift": 0.0501}, "its own figures do not hold"),
        ({"views": 999}, "its own figures do not hold"),
        ({"labels": 3}, "holds needs views of at least 4 labels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_record_that_cannot_be_is_refused(document: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        parse(with_records(document, {**RECORD, **changes}))
    assert said in caught.value.message


def test_two_records_of_one_engine_and_instruction_set_are_refused(document: dict[str, Any]) -> None:
    parse(with_records(document, RECORD, {**RECORD, "instruction_set": "avx512_vnni"}))
    with pytest.raises(ManifestInvalid, match="two records"):
        parse(with_records(document, RECORD, {**RECORD, "holds": False}))


# What schema 2 may say and schema 1 may not: the path of each key and a value that is not its default.
OPTIONAL = {
    "output": {"name": "logits", "kind": "per_step", "steps": [[0, 2], [1, 3]]},
    "preprocess.interpolation": "bilinear_antialiased",
    "preprocess.long_side": "round",
    "preprocess.crop_order": "ends_first",
    "preprocess.crop_offset": "down",
    "average": "probabilities",
    "max_batch": 4,
    "embedding": {"name": "embedding", "size": 1024},
    "cost": {"gmacs": 140.65, "parameters_m": 86},
    "precisions": {"float32": {"file": "model.onnx", "parity": PARITY, "engines": [RECORD]}},
}


def with_key(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    first, _, second = path.partition(".")
    return {**document, first: {**document[first], second: value} if second else value}


def test_a_manifest_without_the_optional_keys_says_their_defaults(document: dict[str, Any]) -> None:
    manifest = parse_manifest(json.dumps(document).encode(), where="m/1/laps.json")
    preprocess = manifest.preprocess
    assert (preprocess.interpolation, preprocess.long_side) == ("bilinear", "floor")
    assert (preprocess.crop_order, preprocess.crop_offset) == ("along", "up")
    assert (manifest.average, manifest.max_batch, manifest.embedding, manifest.output.steps) == (
        "logits",
        None,
        None,
        None,
    )
    assert manifest.cost is None


def test_a_manifest_with_all_optional_keys_is_read(document: dict[str, Any]) -> None:
    document["schema_version"] = 2
    for path, value in OPTIONAL.items():
        document = with_key(document, path, value)
    manifest = parse_manifest(json.dumps(document).encode(), where="m/1/laps.json")
    preprocess = manifest.preprocess
    assert manifest.output.steps == ((0, 2), (1, 3))
    assert manifest.output_shape == (2, manifest.labels.count)
    assert (preprocess.interpolation, preprocess.long_side) == ("bilinear_antialiased", "round")
    assert (preprocess.crop_order, preprocess.crop_offset) == ("ends_first", "down")
    assert (manifest.average, manifest.max_batch) == ("probabilities", 4)
    assert manifest.embedding == Embedding(name="embedding", size=1024)
    assert manifest.cost == Cost(gmacs=140.65, parameters_m=86.0)


@pytest.mark.parametrize("path", OPTIONAL)
def test_an_optional_key_needs_schema_2(document: dict[str, Any], path: str) -> None:
    for schema_version in (1, 2):
        changed = with_key({**document, "schema_version": schema_version}, path, OPTIONAL[path])
        if schema_version == 2:
            parse(changed)
            continue
        with pytest.raises(ManifestInvalid, match="needs schema_version 2"):
            parse(changed)


@pytest.mark.parametrize(("kind", "shape"), [("per_frame", (4, 4)), ("per_clip", (4,)), ("per_step", (1, 4))])
def test_the_kind_of_output_decides_the_shape_of_the_logits(
    document: dict[str, Any], kind: str, shape: tuple[int, ...]
) -> None:
    steps = {"steps": [[0, 3]]} if kind == "per_step" else {}
    document |= {"schema_version": 2, "output": {"name": "logits", "kind": kind, **steps}}
    manifest = parse_manifest(json.dumps(document).encode(), where="m/1/laps.json")
    assert manifest.output_shape == shape


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
