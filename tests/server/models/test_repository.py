from __future__ import annotations

import hashlib
import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from laps_server.errors import ManifestInvalid, ModelCorrupt, NoModels
from laps_server.models.repository import discover
from laps_server.settings import Settings
from support.model_repositories import LABELS, colour_graph, write_model


def test_models_and_versions_are_found_in_order(tmp_path: Path) -> None:
    write_model(tmp_path, "b")
    for version in (1, 2, 10):
        write_model(tmp_path, "a", version=version)
    found = discover(tmp_path, versions="all")
    assert [(files.name, files.version) for files in found] == [("a", 1), ("a", 2), ("a", 10), ("b", 1)]
    assert found[0].labels == LABELS
    assert [files.version for files in discover(tmp_path, versions="latest")] == [10, 1]


def test_other_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    write_model(tmp_path, "a")
    (tmp_path / "README.md").write_text("text")
    (tmp_path / ".a.partial" / "1").mkdir(parents=True)
    (tmp_path / "empty" / "1").mkdir(parents=True)
    (tmp_path / "a" / "notes").mkdir()
    assert [files.name for files in discover(tmp_path, versions="all")] == ["a"]


@pytest.mark.parametrize("there", [True, False], ids=["empty folder", "no folder"])
def test_no_model_says_how_to_make_one_there_and_where_others_are(tmp_path: Path, there: bool) -> None:
    asked = tmp_path if there else tmp_path / "not there"
    with pytest.raises(NoModels) as caught:
        discover(asked, versions="latest")
    hint = caught.value.hint or ""
    assert "make serve without MODEL_REPOSITORY" in hint
    assert "laps-export onnx" in hint
    assert hint.endswith(f"--repository {shlex.quote(str(asked))}")


def test_no_model_where_they_usually_are_says_where_to_run_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoModels) as caught:
        discover(*Settings().model_repository, versions="latest")
    hint = caught.value.hint or ""
    assert "run the command there" in hint
    assert "MODEL_REPOSITORY" not in hint


def test_of_several_folders_the_first_that_has_a_name_has_all_of_its_versions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine, shipped = tmp_path / "mine", tmp_path / "shipped"
    write_model(mine, "b", version=3)
    for name, version in (("a", 1), ("b", 3), ("b", 7)):
        write_model(shipped, name, version=version)
    with caplog.at_level(logging.INFO, "laps_server.models.repository"):
        found = discover(mine, shipped, versions="all")
    assert [(files.folder.parents[1], files.name, files.version) for files in found] == [
        (shipped, "a", 1),
        (mine, "b", 3),
    ]
    assert caplog.messages == [f"{shipped / 'b'} is passed over: {mine / 'b'} has the same name"]
    others = discover(shipped, mine, versions="latest")
    assert [(files.name, files.version) for files in others] == [("a", 1), ("b", 7)]


def test_a_folder_without_models_beside_one_that_has_some_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(tmp_path / "models", "a")
    (found,) = discover(tmp_path / "mine", tmp_path / "models", versions="latest")
    assert found.name == "a"
    assert caplog.messages == [f"model repository {tmp_path / 'mine'} does not exist"]


def test_no_model_in_several_folders_names_them_all(tmp_path: Path) -> None:
    with pytest.raises(NoModels) as caught:
        discover(tmp_path / "no", tmp_path, versions="latest")
    assert caught.value.message == (
        f"model repository {tmp_path / 'no'} does not exist; model repository {tmp_path} holds no model"
    )


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    graph = write_model(tmp_path, "a") / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(ModelCorrupt, match=r"a/1/model.onnx is not the file that was exported"):
        discover(tmp_path, versions="latest")


def test_labels_in_another_order_are_refused(tmp_path: Path) -> None:
    labels = write_model(tmp_path, "a") / "labels.txt"
    labels.write_text("".join(f"{label}\n" for label in reversed(LABELS)))
    with pytest.raises(ModelCorrupt, match=r"a/labels.txt"):
        discover(tmp_path, versions="latest")


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    (write_model(tmp_path, "a") / "1" / "model.onnx").unlink()
    with pytest.raises(ModelCorrupt, match=r"a/1/model.onnx is missing"):
        discover(tmp_path, versions="latest")


def test_a_renamed_folder_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "a").rename(tmp_path / "b")
    with pytest.raises(ManifestInvalid, match="name is 'a' but the folder is 'b'"):
        discover(tmp_path, versions="latest")


def test_a_file_that_no_hash_covers_is_refused(tmp_path: Path) -> None:
    (write_model(tmp_path, "a") / "1" / "weights.bin").write_bytes(b"\0" * 8)
    with pytest.raises(ModelCorrupt, match=r"a/1/weights\.bin is not named"):
        discover(tmp_path, versions="latest")


@pytest.mark.parametrize("labels", [("a", "a"), ("a", " "), ("a", "b\x1b[31m")], ids=["twice", "blank", "escape"])
def test_labels_that_cannot_be_shown_are_refused(tmp_path: Path, labels: tuple[str, str]) -> None:
    write_model(tmp_path, "a", labels=labels)
    with pytest.raises(ModelCorrupt, match="line 2"):
        discover(tmp_path, versions="latest")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    labels = write_model(tmp_path, "a") / "labels.txt"
    labels.unlink()
    labels.mkdir()
    with pytest.raises(ModelCorrupt, match=r"a/labels\.txt cannot be read"):
        discover(tmp_path, versions="latest")
    graph = write_model(tmp_path / "b", "b") / "1" / "model.onnx"
    graph.unlink()
    graph.symlink_to(graph)
    with pytest.raises(ModelCorrupt, match=r"b/1/model\.onnx cannot be read"):
        discover(tmp_path / "b", versions="latest")


def link_the_model(root: Path, elsewhere: Path) -> None:
    (root / "a").rename(elsewhere / "a")
    (root / "a").symlink_to(elsewhere / "a")


def link_the_version(root: Path, elsewhere: Path) -> None:
    (root / "a" / "1").rename(elsewhere / "1")
    (root / "a" / "1").symlink_to(elsewhere / "1")


def link_the_graph(root: Path, elsewhere: Path) -> None:
    graph = root / "a" / "1" / "model.onnx"
    graph.rename(elsewhere / "model.onnx")
    graph.symlink_to("../../../elsewhere/model.onnx")


def link_the_labels(root: Path, elsewhere: Path) -> None:
    (root / "a" / "labels.txt").rename(elsewhere / "labels.txt")
    (root / "a" / "labels.txt").symlink_to(elsewhere / "labels.txt")


@pytest.mark.parametrize(
    "link", [link_the_model, link_the_version, link_the_graph, link_the_labels], ids=lambda link: link.__name__
)
def test_links_out_of_the_repository_are_refused(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    root, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_model(root, "a")
    link(root, elsewhere)
    with pytest.raises(ModelCorrupt, match="is a link that leaves the model repository"):
        discover(root, versions="latest")


def test_links_inside_the_repository_are_followed_and_so_is_one_to_it(tmp_path: Path) -> None:
    graph = write_model(tmp_path / "models", "a") / "1" / "model.onnx"
    graph.rename(tmp_path / "models" / "shared.onnx")
    graph.symlink_to("../../shared.onnx")
    (tmp_path / "linked").symlink_to(tmp_path / "models")
    assert [files.name for files in discover(tmp_path / "linked", versions="latest")] == ["a"]


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hostname", "..", "a/b.onnx", "a\\b.onnx", ".hidden", ""])
def test_files_outside_of_the_versions_folder_cannot_be_named(tmp_path: Path, name: str) -> None:
    write_model(tmp_path, "a", files={"model.onnx": "0" * 64, name: "0" * 64})
    with pytest.raises(ManifestInvalid, match="must lie in the version's own folder"):
        discover(tmp_path, versions="latest")


@pytest.mark.parametrize("name", ["../a", "a/../a", "/a"])
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path, "a") / "1"
    document = (folder / "laps.json").read_text()
    (folder / "laps.json").write_text(document.replace('"name": "a"', f'"name": "{name}"'))
    with pytest.raises(ManifestInvalid, match="but the folder is 'a'"):
        discover(tmp_path, versions="latest")


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    graph = write_model(tmp_path, "a") / "1" / "model.onnx"
    graph.unlink()
    os.mkfifo(graph)
    with pytest.raises(ModelCorrupt, match=r"a/1/model\.onnx is not a file"):
        discover(tmp_path, versions="latest")


def test_weights_in_another_file_are_refused_even_with_a_hash(tmp_path: Path) -> None:
    graph = colour_graph(frames=4, size=32, classes=4)
    tensor = graph.graph.initializer[0]
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    files = {"model.onnx": graph.SerializeToString(), "weights.bin": content}
    folder = write_model(
        tmp_path, "a", graph=graph, files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    )
    (folder / "1" / "weights.bin").write_bytes(content)
    with pytest.raises(ModelCorrupt, match=r"a/1/model\.onnx draws weights from other files"):
        discover(tmp_path, versions="latest")
