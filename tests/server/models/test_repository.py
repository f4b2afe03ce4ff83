from __future__ import annotations

import logging
import shlex
from pathlib import Path

import pytest

from laps_server.errors import ManifestInvalid, ModelCorrupt, NoModels
from laps_server.models.repository import discover
from laps_server.settings import Settings
from support.model_repositories import LABELS, write_model


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
