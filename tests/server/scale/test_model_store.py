"""Model repositories that are fetched: once, whole or not at all, and with errors that say what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from laps_server.errors import BadParameter, ModelError, NoModels
from laps_server.models.repository import discover
from laps_server.scale.model_store import fetched_repository
from support.model_repositories import write_model


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "colours")
    return tmp_path / "models"


@pytest.fixture
def bucket(repository: Path) -> Iterator[str]:
    """The repository in a store that is in memory."""
    store = fsspec.filesystem("memory")
    store.put(f"{repository}/", "memory://bucket/models/", recursive=True)
    yield "memory://bucket/models"
    store.rm("/bucket", recursive=True)


def test_what_is_fetched_is_served_as_what_is_here(bucket: str, repository: Path, tmp_path: Path) -> None:
    folder = fetched_repository(bucket, tmp_path / "cache")
    assert [model.shown for model in discover(folder, versions="latest")] == ["colours/1"]
    ours = {path.relative_to(repository): path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == ours


def test_a_folder_is_a_store_too(repository: Path, tmp_path: Path) -> None:
    folder = fetched_repository(f"file://{repository}", tmp_path / "cache")
    assert [model.shown for model in discover(folder, versions="latest")] == ["colours/1"]


def test_it_is_fetched_once_and_again_when_it_changed(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = fsspec.filesystem("memory")
    got: list[str] = []
    get_file = store.get_file

    def counted(name: str, target: str) -> None:
        got.append(name)
        get_file(name, target)

    monkeypatch.setattr(store, "get_file", counted)
    first = fetched_repository(bucket, tmp_path / "cache")
    number = len(got)
    assert number == sum(path.is_file() for path in first.rglob("*"))
    assert fetched_repository(bucket, tmp_path / "cache") == first
    assert len(got) == number
    store.pipe_file("/bucket/models/colours/labels.txt", b"one\ntwo\nthree\nfour\n")
    second = fetched_repository(bucket, tmp_path / "cache")
    assert second != first
    assert (second / "colours" / "labels.txt").read_bytes() == b"one\ntwo\nthree\nfour\n"


def test_half_a_fetch_leaves_nothing_and_the_next_is_whole(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = fsspec.filesystem("memory")
    get_file, cache = store.get_file, tmp_path / "cache"

    def fail_at_the_graph(name: str, target: str) -> None:
        if name.endswith(".onnx"):
            raise ConnectionResetError("the store went away")
        get_file(name, target)

    with monkeypatch.context() as patched:
        patched.setattr(store, "get_file", fail_at_the_graph)
        with pytest.raises(ModelError, match="the store went away"):
            fetched_repository(bucket, cache)
    assert [path.suffix for path in (cache / "repositories").iterdir()] == [".lock"]
    # Of a process that was killed a draft is left.
    lock = next((cache / "repositories").iterdir())
    (lock.parent / f".{lock.stem}.left").mkdir()
    folder = fetched_repository(bucket, cache)
    assert discover(folder, versions="latest")
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, lock.name]


def test_processes_that_come_together_share_one_fetch(repository: Path, tmp_path: Path) -> None:
    program = """
import pathlib, sys
from laps_server.scale.model_store import fetched_repository
print(fetched_repository(sys.argv[1], pathlib.Path(sys.argv[2])).stat().st_ino)
"""
    command = [sys.executable, "-c", program, f"file://{repository}", str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    inodes = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(inodes) == 1, "who came later fetched again, or saw another folder"


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        pytest.param("memory://nothing/here", NoModels, "holds no file", id="empty"),
        pytest.param("nostore://bucket", BadParameter, "no address of a store", id="unknown store"),
        pytest.param("file:///no/such/folder", NoModels, "holds no file", id="no folder"),
    ],
)
def test_what_cannot_be_fetched_is_told(url: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        fetched_repository(url, tmp_path)


def test_a_store_whose_package_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(BadParameter, match="s3fs"):
        fetched_repository("s3://bucket/models", tmp_path)


def test_a_cache_is_needed(bucket: str) -> None:
    with pytest.raises(BadParameter, match="folder to keep it in") as told:
        fetched_repository(bucket, None)
    assert told.value.hint == "set LAPS_CACHE_DIR"


def test_a_store_cannot_write_elsewhere(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = fsspec.filesystem("memory")
    evil = {"/bucket/models/../../evil": {"type": "file", "size": 0}}
    monkeypatch.setattr(store, "find", lambda *_args, **_options: evil)
    with pytest.raises(ModelError, match="does not lie in"):
        fetched_repository(bucket, tmp_path / "cache")
    assert not list(tmp_path.rglob("evil"))


def test_passwords_in_addresses_are_not_told(tmp_path: Path) -> None:
    with pytest.raises(BadParameter) as told:
        fetched_repository("nostore://me:secret@host/models", tmp_path)
    assert "secret" not in told.value.message.partition(":")[0] + str(told.value.hint)


def test_what_is_gone_from_the_cache_is_fetched_again(bucket: str, tmp_path: Path) -> None:
    folder = fetched_repository(bucket, tmp_path / "cache")
    shutil.rmtree(folder)
    assert fetched_repository(bucket, tmp_path / "cache") == folder
    assert folder.is_dir()
