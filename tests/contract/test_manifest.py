"""What the exporter writes, the server reads; what the one refuses at an edge, the other refuses too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import onnx
import pytest

from laps_export.errors import LapsExportError
from laps_export.families import family as family_module
from laps_export.families import registry
from laps_export.families.family import OutputKind, ResizeAndCrop
from laps_export.families.laps.attention import AttentionKind
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.family import LAPS
from laps_export.graph.complexity import Complexity
from laps_export.graph.parity import ParityReport
from laps_export.quantize import engine_parity, parity_limits
from laps_export.quantize.instruction_set import INT8_INSTRUCTION_SETS
from laps_export.repository import manifest as manifest_module
from laps_export.repository import write_version as writing
from laps_export.repository.entry import check_version
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import AddedPrecision, WeightOrigin, read_contract, with_precision
from laps_export.repository.serving import Serving
from laps_export.repository.write_version import VersionRequest, write_version
from laps_server.engines.machine import Machine
from laps_server.errors import LapsError
from laps_server.models import parity_limits as server_limits
from laps_server.models.manifest import SCHEMA_VERSIONS, EngineParity, Manifest, ModelOutput, parse_manifest
from laps_server.models.repository import discover
from laps_server.preprocess_rules import CropOffset, CropOrder, Interpolation, LongSide
from laps_server.scores import Average
from laps_server.view_grid import SamplingRule
from support.small_laps import LABELS, SMALL, small_version_request

_GRAPH = onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], [])).SerializeToString()


@pytest.fixture(autouse=True)
def _no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about what is written beside the graph."""
    monkeypatch.setattr(writing, "export_onnx", lambda _, path: path.write_bytes(_GRAPH))
    monkeypatch.setattr(writing, "measure", lambda _: Complexity(gmacs=0.1, parameters_m=0.2))
    monkeypatch.setattr(writing, "check_parity", lambda *_, **__: ParityReport(1e-6, 1e-3, (1, 3, 16)))


@pytest.fixture
def version_request() -> VersionRequest:
    origin = WeightOrigin(checkpoint=None, untrained=True, seed=0, metrics={"top1": 0.5}, recipe={"epochs": 18})
    return replace(small_version_request(name="small-7"), origin=origin)


@pytest.fixture
def written(version_request: VersionRequest, tmp_path: Path) -> dict[str, Any]:
    path = write_version(version_request, tmp_path).path / "laps.json"
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    return manifest


def _read(manifest: dict[str, Any]) -> Manifest:
    return parse_manifest(json.dumps(manifest).encode(), where="small-7/1/laps.json")


def _accepts(act: Callable[[], object]) -> bool:
    try:
        act()
    except (LapsExportError, LapsError):
        return False
    return True


def test_the_server_reads_what_the_exporter_writes(version_request: VersionRequest, tmp_path: Path) -> None:
    path = write_version(version_request, tmp_path).path
    manifest = parse_manifest((path / "laps.json").read_bytes(), where="small-7/1/laps.json")
    assert (manifest.name, manifest.variant, manifest.untrained) == ("small-7", "small", True)
    assert (manifest.clip.frames, manifest.clip.height, manifest.clip.stride) == (8, 64, 8)
    assert str(manifest.grid) == "5x3"
    assert manifest.precisions["float32"].parity.tolerance == 1e-3
    (model,) = discover(tmp_path, versions="all")
    assert (model.version, model.labels) == (1, LABELS.labels)


@pytest.mark.parametrize(
    ("views", "right"),
    [
        *(("1x1", True), ("64x3", True), ("05x3", True), ("0005x0003", True)),
        *(("0x1", False), ("65x1", False), ("5x2", False), ("5x0", False), ("00005x3", False)),
        *(("5X3", False), ("5x3\n", False), (" 5x3", False), ("-5x3", False), ("\u0665x3", False), ("", False)),
    ],
    ids=ascii,
)
def test_views(written: dict[str, Any], views: str, right: bool) -> None:
    assert _accepts(lambda: Serving.of(LAPS, default_views=views)) == right
    assert _accepts(lambda: _read({**written, "default_views": views})) == right


def test_both_know_the_same_rules_of_sampling_and_the_newest_schema() -> None:
    assert get_args(family_module.SamplingRule) == get_args(SamplingRule)
    assert max(SCHEMA_VERSIONS) == manifest_module.SCHEMA_VERSION


@pytest.mark.parametrize(
    ("sampling", "right"),
    [
        *((rule, True) for rule in registry.sampling_rules() if rule not in family_module.FRAMES_TOGETHER),
        *(("uniform", False), ("LAPS_UNIFORM", False), ("", False)),
    ],
)
def test_sampling(
    written: dict[str, Any], version_request: VersionRequest, tmp_path: Path, sampling: Any, right: bool
) -> None:
    assert _accepts(lambda: Serving.of(LAPS, sampling=sampling)) == right
    assert _accepts(lambda: _read({**written, "sampling": sampling})) == right
    if right:
        other = write_version(
            replace(version_request, name="other", serving=Serving.of(LAPS, sampling=sampling)), tmp_path
        )
        document = (other.path / "laps.json").read_bytes()
        assert parse_manifest(document, where="other/1/laps.json").sampling == sampling


@pytest.mark.parametrize("frames", [4, 5, 6, 10])
@pytest.mark.parametrize(("sampling", "together"), family_module.FRAMES_TOGETHER.items())
def test_sampling_of_several_frames_at_a_time(
    written: dict[str, Any], version_request: VersionRequest, tmp_path: Path, sampling: str, together: int, frames: int
) -> None:
    right = frames % together == 0
    config = replace(SMALL, attention=AttentionKind.BASE2D, levels=((), ()), frames=frames)
    model = replace(version_request.model, config=config)
    other = replace(version_request, model=model, name="other", serving=Serving.of(LAPS, sampling=sampling))
    assert _accepts(lambda: write_version(other, tmp_path)) == right
    inputs = [{**written["inputs"][0], "frames": frames}]
    assert _accepts(lambda: _read({**written, "inputs": inputs, "sampling": sampling})) == right


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (family_module.Average, Average),
        (family_module.Interpolation, Interpolation),
        (family_module.LongSide, LongSide),
        (family_module.CropOrder, CropOrder),
        (family_module.CropOffset, CropOffset),
        (OutputKind, get_type_hints(ModelOutput)["kind"]),
        (manifest_module.EngineName, get_type_hints(EngineParity)["engine"]),
    ],
    ids=["average", "interpolation", "long_side", "crop_order", "crop_offset", "kind", "engine"],
)
def test_both_know_the_same_choices(theirs: Any, ours: Any) -> None:
    assert sorted(list(theirs) if theirs is OutputKind else get_args(theirs)) == sorted(get_args(ours))


def test_what_a_family_does_not_do_differently_is_not_written(written: dict[str, Any]) -> None:
    """So that entries of LAPS stay what they were, byte for byte."""
    assert not {"average", "max_batch", "embedding"} & set(written)
    assert set(written["output"]) == {"name", "kind"}
    assert not {"long_side", "crop_order", "crop_offset"} & set(written["preprocess"])
    read = _read(written)
    usual = ResizeAndCrop()
    assert (read.average, read.max_batch, read.output.steps) == (LAPS.average, None, None)
    assert (read.preprocess.interpolation, read.preprocess.long_side) == (usual.interpolation, usual.long_side)
    assert (read.preprocess.crop_order, read.preprocess.crop_offset) == (usual.crop_order, usual.crop_offset)


def test_what_a_family_does_differently_is_read_as_it_is_written(
    version_request: VersionRequest, tmp_path: Path
) -> None:
    family = replace(
        LAPS,
        output=OutputKind.PER_STEP,
        steps=lambda config: ((0, config.frames // 2), (2, config.frames - 1)),
        average="probabilities",
        resize_and_crop=ResizeAndCrop(
            interpolation="bilinear_antialiased", long_side="round", crop_order="ends_first", crop_offset="down"
        ),
    )
    model = replace(version_request.model, family=family, max_batch=2)
    path = write_version(replace(version_request, model=model), tmp_path).path / "laps.json"
    document = json.loads(path.read_bytes())
    read = _read(document)
    assert read.output.steps == ((0, 4), (2, 7))
    assert read.output_shape == read_contract(document).output_shape == (2, len(LABELS))
    assert (read.average, read.max_batch) == ("probabilities", 2)
    assert (read.preprocess.interpolation, read.preprocess.long_side) == ("bilinear_antialiased", "round")
    assert (read.preprocess.crop_order, read.preprocess.crop_offset) == ("ends_first", "down")


def test_both_hold_a_precision_to_the_same_limits() -> None:
    names = ("MIN_VIEWS", "MIN_LABELS", "MIN_AGREEMENT", "MAX_MEAN_SHIFT", "MAX_P99_SHIFT")
    assert [getattr(parity_limits, name) for name in names] == [getattr(server_limits, name) for name in names]


@pytest.mark.parametrize("place", range(len(INT8_INSTRUCTION_SETS)))
def test_a_record_names_the_instruction_set_that_the_server_looks_for(place: int) -> None:
    """The best that both know is there: the exporter measures on it, and the server asks for its record."""
    machine = Machine("a processor", frozenset(INT8_INSTRUCTION_SETS[place:]))
    assert machine.instruction_set("int8") == INT8_INSTRUCTION_SETS[place]


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.6])
def test_what_engines_answered_is_read_as_it_is_written(written: dict[str, Any], shift: float) -> None:
    labels = len(LABELS)
    reference = np.full((parity_limits.MIN_VIEWS, labels), 0.05)
    reference[np.arange(len(reference)), np.arange(len(reference)) % labels] = 0.7
    scores = np.where(reference == 0.7, 0.7 - shift, 0.05 + shift / labels)
    record = engine_parity.compare(reference, scores, engine="openvino", instruction_set="avx512_vnni")
    added = AddedPrecision(
        name="int8", file="model.int8.onnx", sha256="0", max_abs_diff=0.5, batch_sizes=(1, 16), engines=[record]
    )
    document = with_precision(written, added)
    read = _read(document)
    assert read.files.keys() == {"model.onnx", "model.int8.onnx"}
    assert read.precisions["float32"] == _read(written).precisions["float32"]
    int8 = read.precisions["int8"]
    assert (int8.file, int8.parity.tolerance, int8.parity.batch_sizes) == ("model.int8.onnx", None, (1, 16))
    found = int8.record("openvino", "avx512_vnni")
    assert found is not None
    assert (found.views, found.labels, found.holds) == (len(reference), labels, shift == 0)
    assert found.agreement == float(shift < 0.6)
    assert found.mean_shift == pytest.approx(shift)
    assert _read(with_precision(document, added)) == read


@pytest.mark.parametrize(
    "wrong", [{"output": OutputKind.PER_STEP}, {"steps": lambda _: ((0, 7),)}], ids=["no steps", "steps of frames"]
)
def test_steps_are_told_of_steps_alone(written: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        replace(LAPS, **wrong)
    output = {"name": "frame_logits", "kind": wrong.get("output", LAPS.output)}
    assert not _accepts(
        lambda: _read({**written, "output": output | ({"steps": [[0, 7]]} if "steps" in wrong else {})})
    )


@pytest.mark.parametrize("schema_version", [0, *SCHEMA_VERSIONS, 3])
def test_manifests_of_older_exporters_are_read(written: dict[str, Any], schema_version: int) -> None:
    manifest = {**written, "schema_version": schema_version}
    assert _accepts(lambda: _read(manifest)) == (schema_version in SCHEMA_VERSIONS)


@pytest.mark.parametrize(
    ("temperature", "right"),
    [(0.001, True), (1000.0, True), (0.00099, False), (1000.1, False), (0.0, False), (-1.0, False)],
)
def test_temperature(written: dict[str, Any], temperature: float, right: bool) -> None:
    assert _accepts(lambda: Serving.of(LAPS, temperature=temperature)) == right
    assert _accepts(lambda: _read({**written, "temperature": temperature})) == right


@pytest.mark.parametrize(("stride", "right"), [(1, True), (1024, True), (0, False), (1025, False)])
def test_stride(written: dict[str, Any], stride: int, right: bool) -> None:
    (clip,) = written["inputs"]
    assert _accepts(lambda: Serving.of(LAPS, stride=stride)) == right
    assert _accepts(lambda: _read({**written, "inputs": [{**clip, "stride": stride}]})) == right


@pytest.mark.parametrize(("frames", "right"), [(1, True), (1024, True), (0, False), (1025, False)])
def test_frames(written: dict[str, Any], frames: int, right: bool) -> None:
    (clip,) = written["inputs"]
    assert _accepts(lambda: LapsConfig(attention=AttentionKind.BASE2D, frames=frames)) == right
    assert _accepts(lambda: _read({**written, "inputs": [{**clip, "frames": frames}]})) == right


@pytest.mark.parametrize(("side", "right"), [(32, True), (4096, True), (0, False), (4097, False)])
def test_resolution(written: dict[str, Any], side: int, right: bool) -> None:
    (clip,) = written["inputs"]
    crop = {**written["preprocess"], "short_side": side, "crop_height": side, "crop_width": side}
    manifest = {**written, "inputs": [{**clip, "height": side, "width": side}], "preprocess": crop}
    assert _accepts(lambda: LapsConfig(attention=AttentionKind.BASE2D, resolution=side)) == right
    assert _accepts(lambda: _read(manifest)) == right


@pytest.mark.parametrize(
    ("version", "right"), [(1, True), (999_999_999, True), (0, False), (-1, False), (1_000_000_000, False)]
)
def test_versions(version_request: VersionRequest, tmp_path: Path, version: int, right: bool) -> None:
    assert _accepts(lambda: check_version(version)) == right
    path = write_version(version_request, tmp_path).path
    path.rename(path.with_name(str(version)))
    assert _accepts(lambda: discover(tmp_path, versions="all")) == right


@pytest.mark.parametrize(
    ("label", "right"),
    [
        *(("über", True), ("pan left", True), ("推", True)),
        *(("", False), ("  ", False), ("label 1", False), ("a\tb", False), ("a\x85b", False), ("a\u2028b", False)),
    ],
    ids=ascii,
)
def test_labels(version_request: VersionRequest, tmp_path: Path, label: str, right: bool) -> None:
    labels = (label, *LABELS.labels[1:])
    assert _accepts(lambda: LabelSet("mine", labels)) == right
    # What the exporter refuses to name, as if it had written it.
    unchecked = LabelSet("mine", LABELS.labels)
    object.__setattr__(unchecked, "labels", labels)
    write_version(replace(version_request, labels=unchecked), tmp_path)
    assert _accepts(lambda: discover(tmp_path, versions="all")) == right
