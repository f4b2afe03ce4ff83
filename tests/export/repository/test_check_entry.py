from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from laps_export.errors import LapsExportError
from laps_export.graph.parity import ParityGate
from laps_export.repository.check_entry import check_entry
from laps_export.repository.entry import sha256_of
from laps_export.repository.write_version import write_version
from support.small_laps import small_version_request


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    request = small_version_request(name="m")
    write_version(request, repository, gate=ParityGate(batch_sizes=(1,)))
    return repository / "m"


@pytest.fixture
def entry(exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "m")
    return tmp_path / "m"


def _edit(entry: Path, **changes: Any) -> None:
    path = entry / "1" / "laps.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _code(entry: Path, version: int | None = None) -> str:
    with pytest.raises(LapsExportError) as caught:
        check_entry(entry, version=version)
    return caught.value.code


def test_a_sound_entry(entry: Path) -> None:
    assert [checked.version for checked in check_entry(entry)] == [1]


def test_a_changed_label_is_found(entry: Path) -> None:
    labels = entry / "labels.txt"
    labels.write_text(labels.read_text().replace("label 3", "label three"))
    assert _code(entry) == "hash_differs"


def test_a_changed_graph_is_found(entry: Path) -> None:
    graph = entry / "1" / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    assert _code(entry) == "hash_differs"


def test_a_graph_that_breaks_the_contract_is_found_even_with_its_hash(entry: Path) -> None:
    graph = entry / "1" / "model.onnx"
    graph.write_bytes(b"no graph")
    _edit(entry, files={"model.onnx": sha256_of(graph)})
    assert _code(entry) == "invalid_onnx"


def test_a_missing_graph_is_found(entry: Path) -> None:
    (entry / "1" / "model.onnx").unlink()
    assert _code(entry) == "damaged_entry"


def test_a_torn_manifest_is_found(entry: Path) -> None:
    (entry / "1" / "laps.json").write_text('{"schema_version": 1,')
    assert _code(entry) == "damaged_entry"


def test_a_manifest_without_its_parts_is_found(entry: Path) -> None:
    (entry / "1" / "laps.json").write_text("{}")
    assert _code(entry) == "damaged_entry"


def test_a_renamed_entry_is_found(entry: Path) -> None:
    assert _code(entry.rename(entry.parent / "renamed")) == "damaged_entry"


def test_what_is_not_there(entry: Path, tmp_path: Path) -> None:
    assert _code(entry, version=3) == "no_such_entry"
    assert _code(tmp_path / "nothing") == "no_such_entry"
