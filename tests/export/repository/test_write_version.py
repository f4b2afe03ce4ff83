from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from laps_export.errors import ConfigError, LabelsError, LapsExportError, ParityError, RepositoryError
from laps_export.families.family import VideoModel
from laps_export.families.laps.family import LAPS
from laps_export.families.laps.visformer import Laps
from laps_export.graph.complexity import Complexity
from laps_export.graph.parity import ParityGate, ParityReport
from laps_export.repository import publish as publish_module
from laps_export.repository import write_version as writing
from laps_export.repository.check_entry import check_entry
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import WeightOrigin
from laps_export.repository.serving import Serving
from laps_export.repository.version_choice import choose_version
from laps_export.repository.write_version import VersionRequest, WrittenVersion, write_version
from support.small_laps import SMALL, as_model, small_version_request

SHORT = ParityGate(batch_sizes=(1, 2))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "work" / "model_repository"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, small_graph: Path) -> None:
    """Take the graph from the session's fixture and do not count: these tests are about folders."""

    def copy(model: VideoModel, path: Path) -> None:
        path.write_bytes(small_graph.read_bytes())

    monkeypatch.setattr(writing, "export_onnx", copy)
    monkeypatch.setattr(writing, "measure", lambda _: Complexity(gmacs=0.1, parameters_m=0.2))


@pytest.fixture
def small_request() -> VersionRequest:
    origin = WeightOrigin(checkpoint=None, untrained=True, seed=0)
    return replace(small_version_request(name="small-7"), origin=origin)


def _write(request: VersionRequest, repository: Path) -> WrittenVersion:
    return write_version(request, repository, gate=SHORT)


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_entry_is_complete_and_passes_its_own_check(small_request: VersionRequest, repository: Path) -> None:
    written = write_version(small_request, repository, gate=SHORT)
    assert written.path == repository / "small-7" / "1"
    assert _tree(repository) == {
        "small-7/config.pbtxt",
        "small-7/labels.txt",
        "small-7/1/model.onnx",
        "small-7/1/laps.json",
    }
    assert [p.name for p in repository.parent.iterdir()] == ["model_repository"]
    assert (repository / "small-7").stat().st_mode & 0o777 == 0o755
    (checked,) = check_entry(repository / "small-7")
    assert (checked.version, checked.variant, checked.untrained) == (1, "small", True)


@pytest.mark.usefixtures("quick")
def test_the_manifest_says_all_and_nothing_more(
    small_request: VersionRequest, small_labels: LabelSet, repository: Path
) -> None:
    serving = Serving.of(LAPS, default_views="10x3", stride=4, temperature=1.5)
    written = _write(replace(small_request, serving=serving), repository)
    manifest: dict[str, Any] = json.loads((written.path / "laps.json").read_text())
    provenance = manifest.pop("provenance")
    parity = manifest["precisions"]["float32"].pop("parity")
    assert parity.pop("max_abs_diff") < 1e-4
    assert parity == {"tolerance": 0.001, "batch_sizes": [1, 2]}
    graph = hashlib.sha256((written.path / "model.onnx").read_bytes()).hexdigest()
    assert manifest == {
        "schema_version": 2,
        "name": "small-7",
        "family": "laps",
        "variant": "small",
        "output": {"name": "frame_logits", "kind": "per_frame"},
        "inputs": [
            {
                "name": "clips",
                "dtype": "uint8",
                "layout": "BTHWC",
                "frames": 8,
                "height": 64,
                "width": 64,
                "stride": 4,
            }
        ],
        "sampling": "laps_uniform",
        "preprocess": {
            "short_side": 64,
            "crop_height": 64,
            "crop_width": 64,
            "interpolation": "bilinear",
            "mean": [0.486, 0.457, 0.407],
            "std": [0.229, 0.224, 0.225],
        },
        "activation": "softmax",
        "temperature": 1.5,
        "default_views": "10x3",
        "cost": {"gmacs": 0.1, "parameters_m": 0.2},
        "labels": {"name": "seven", "count": 7, "sha256": small_labels.sha256},
        "precisions": {"float32": {"file": "model.onnx"}},
        "opset": 17,
        "files": {"model.onnx": graph},
        "untrained": True,
    }
    assert provenance["exporter"].startswith("laps-export ")
    assert provenance["checkpoint"] is None
    labels = (repository / "small-7" / "labels.txt").read_bytes()
    assert hashlib.sha256(labels).hexdigest() == small_labels.sha256


@pytest.mark.usefixtures("quick")
def test_versions_count_up_and_leave_the_operators_configuration_alone(
    small_request: VersionRequest, repository: Path
) -> None:
    _write(small_request, repository)
    config = repository / "small-7" / "config.pbtxt"
    config.write_text("tuned by hand")
    assert _write(replace(small_request, version=6), repository).version == 6
    assert _write(small_request, repository).version == 7
    assert config.read_text() == "tuned by hand"
    assert [checked.version for checked in check_entry(repository / "small-7")] == [1, 6, 7]


@pytest.mark.usefixtures("quick")
def test_a_version_is_replaced_by_force_only(small_request: VersionRequest, repository: Path) -> None:
    first = _write(small_request, repository)
    before = (first.path / "laps.json").read_bytes()
    again = replace(small_request, version=1, serving=Serving.of(LAPS, stride=2))
    with pytest.raises(RepositoryError) as caught:
        _write(again, repository)
    assert caught.value.code == "version_exists"
    assert "version 2" in caught.value.hint
    assert (first.path / "laps.json").read_bytes() == before
    _write(replace(again, force=True), repository)
    assert json.loads((first.path / "laps.json").read_text())["inputs"][0]["stride"] == 2
    assert [p.name for p in repository.parent.iterdir()] == ["model_repository"]


@pytest.mark.usefixtures("quick")
def test_versions_share_labels_and_shapes(small_request: VersionRequest, repository: Path) -> None:
    _write(small_request, repository)
    others = LabelSet("others", tuple(f"other {i}" for i in range(7)))
    with pytest.raises(RepositoryError) as caught:
        _write(replace(small_request, labels=others), repository)
    assert caught.value.code == "labels_differ"
    model = as_model(Laps(replace(SMALL, resolution=96)).eval())
    with pytest.raises(RepositoryError) as caught:
        _write(replace(small_request, model=model), repository)
    assert caught.value.code == "shapes_differ"
    assert "64 x 64" in caught.value.message


@pytest.mark.usefixtures("quick")
def test_a_graph_that_is_not_the_model_leaves_nothing_behind(small_request: VersionRequest, repository: Path) -> None:
    repository.parent.mkdir()
    with torch.no_grad():
        small_request.model.network.state_dict()["head.bias"][0] += 1.0
    with pytest.raises(ParityError):
        _write(small_request, repository)
    assert list(repository.parent.iterdir()) == []


def _raise(error: BaseException) -> Callable[..., ParityReport]:
    def fail(*args: object, **kwargs: object) -> ParityReport:
        raise error

    return fail


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), MemoryError()], ids=repr)
def test_an_interrupt_leaves_what_was_there(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    _write(small_request, repository)
    before = _tree(repository)
    monkeypatch.setattr(writing, "check_parity", _raise(error))
    with pytest.raises(type(error)):
        _write(small_request, repository)
    assert _tree(repository) == before
    assert [p.name for p in repository.parent.iterdir()] == ["model_repository"]


@pytest.mark.usefixtures("quick")
def test_a_version_that_appears_meanwhile_is_not_overwritten(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(small_request, repository)

    def meanwhile(*args: object, **kwargs: object) -> ParityReport:
        (repository / "small-7" / "2").mkdir()
        return ParityReport(0.0, 0.001, (1,))

    monkeypatch.setattr(writing, "check_parity", meanwhile)
    with pytest.raises(RepositoryError) as caught:
        _write(small_request, repository)
    assert caught.value.code == "version_exists"
    assert list((repository / "small-7" / "2").iterdir()) == []


def _pass(*args: object, **kwargs: object) -> ParityReport:
    return ParityReport(0.0, 0.001, (1,))


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Run `act` once, while the next export is at its parity gate."""

    def first(*args: object, **kwargs: object) -> ParityReport:
        monkeypatch.setattr(writing, "check_parity", _pass)
        act()
        return _pass()

    monkeypatch.setattr(writing, "check_parity", first)


@pytest.mark.usefixtures("quick")
def test_exports_that_finish_together_share_their_labels_or_one_fails(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = replace(small_request, labels=LabelSet("others", tuple(f"other {i}" for i in range(7))))
    _meanwhile(monkeypatch, lambda: _write(others, repository))
    with pytest.raises(RepositoryError) as caught:
        _write(replace(small_request, version=2), repository)
    assert caught.value.code == "labels_differ"
    assert (repository / "small-7" / "labels.txt").read_bytes() == others.labels.to_bytes()
    assert _tree(repository / "small-7") == {"config.pbtxt", "labels.txt", "1/model.onnx", "1/laps.json"}


@pytest.mark.usefixtures("quick")
def test_force_replaces_no_version_that_it_did_not_name(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, lambda: _write(replace(small_request, serving=Serving.of(LAPS, stride=2)), repository))
    with pytest.raises(RepositoryError) as caught:
        _write(replace(small_request, force=True), repository)
    assert caught.value.code == "version_exists"
    assert _stride(repository / "small-7" / "1") == 2


def _stride(version: Path) -> int:
    stride: int = json.loads((version / "laps.json").read_text())["inputs"][0]["stride"]
    return stride


def _is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@pytest.mark.usefixtures("quick")
def test_one_lock_holds_from_the_last_check_to_the_rename(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "check_parity", _pass)
    seen: list[tuple[str, bool]] = []
    rename = Path.rename

    def watched_choice(*args: Any, **kwargs: Any) -> int:
        seen.append(("choose", repository.exists() and _is_locked(repository)))
        return choose_version(*args, **kwargs)

    def watched_rename(self: Path, target: Path) -> Path:
        seen.append(("rename", _is_locked(repository)))
        return rename(self, target)

    monkeypatch.setattr(writing, "choose_version", watched_choice)
    monkeypatch.setattr(Path, "rename", watched_rename)
    _write(small_request, repository)
    assert seen == [("choose", False), ("choose", True), ("rename", True)]
    assert not _is_locked(repository)
    assert [p.name for p in repository.iterdir()] == ["small-7"]


@pytest.mark.usefixtures("quick")
def test_a_filesystem_without_locks_is_used_without(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(writing, "check_parity", _pass)
    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert _write(small_request, repository).version == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("step", [1, 2], ids=["old-moved-away", "new-moved-in"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replacement_in_two_renames_loses_nothing_when_interrupted(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch, step: int, when: str
) -> None:
    monkeypatch.setattr(writing, "check_parity", _pass)
    monkeypatch.setattr(publish_module, "exchange", lambda *_: False)
    old = _write(small_request, repository).path
    rename, calls = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == step and when == "before":
            raise SystemExit(143)
        moved = rename(self, target)
        if len(calls) == step:
            raise SystemExit(143)
        return moved

    again = replace(small_request, version=1, force=True, serving=Serving.of(LAPS, stride=2))
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(SystemExit):
        _write(again, repository)
    assert _stride(old) == (2 if (step, when) == (2, "after") else 8)
    assert [p.name for p in repository.parent.iterdir()] == ["model_repository"]
    monkeypatch.setattr(Path, "rename", rename)
    _write(again, repository)
    assert _stride(old) == 2
    assert [p.name for p in repository.parent.iterdir()] == ["model_repository"]


@pytest.mark.usefixtures("quick")
def test_a_second_interrupt_leaves_the_old_version_on_disk(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "check_parity", _pass)
    monkeypatch.setattr(publish_module, "exchange", lambda *_: False)
    _write(small_request, repository)
    rename, calls = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > 1:
            raise SystemExit(143)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(SystemExit):
        _write(replace(small_request, version=1, force=True, serving=Serving.of(LAPS, stride=2)), repository)
    (aside,) = repository.parent.glob(".model_repository-building-*-replaced")
    assert _stride(aside) == 8


def test_two_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"was-{name}").touch()
    if not publish_module.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("neither this kernel nor this filesystem exchanges")
    assert (tmp_path / "a" / "was-b").exists()
    assert (tmp_path / "b" / "was-a").exists()
    assert not publish_module.exchange(tmp_path / "a", tmp_path / "none")


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a b", "ü", "a\n"])
def test_names_that_no_folder_or_url_should_carry(small_request: VersionRequest, repository: Path, name: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        _write(replace(small_request, name=name), repository)
    assert caught.value.code == "invalid_name"


def test_labels_must_be_as_many_as_outputs(small_request: VersionRequest, repository: Path) -> None:
    with pytest.raises(LabelsError, match="has 2 labels, the model 7 outputs"):
        _write(replace(small_request, labels=LabelSet("two", ("a", "b"))), repository)


@pytest.mark.parametrize("version", [-1, 0, 1_000_000_000])
def test_versions_that_no_server_finds_are_refused(
    small_request: VersionRequest, repository: Path, version: int
) -> None:
    with pytest.raises(RepositoryError) as caught:
        _write(replace(small_request, version=version), repository)
    assert caught.value.code == "invalid_version"


@pytest.mark.usefixtures("quick")
def test_nothing_comes_after_the_largest_version(
    small_request: VersionRequest, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "check_parity", _pass)
    _write(replace(small_request, version=999_999_999), repository)
    with pytest.raises(RepositoryError) as caught:
        _write(small_request, repository)
    assert caught.value.code == "invalid_version"


def test_a_folder_that_is_no_entry_is_not_added_to(small_request: VersionRequest, repository: Path) -> None:
    (repository / "small-7").mkdir(parents=True)
    with pytest.raises(RepositoryError) as caught:
        _write(small_request, repository)
    assert caught.value.code == "damaged_entry"


@pytest.mark.usefixtures("quick")
def test_a_repository_that_is_a_file_is_an_error(small_request: VersionRequest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LapsExportError) as caught:
        _write(small_request, tmp_path / "file")
    assert caught.value.code == "cannot_write"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"default_views": "5x2"}, "invalid_views"),
        ({"default_views": "0x3"}, "invalid_views"),
        ({"default_views": "many"}, "invalid_views"),
        ({"default_views": "65x1"}, "invalid_views"),
        ({"default_views": "\u0665x3"}, "invalid_views"),
        ({"default_views": "5x3\n"}, "invalid_views"),
        ({"stride": 0}, "invalid_stride"),
        ({"stride": 1025}, "invalid_stride"),
        ({"temperature": 0.0}, "invalid_temperature"),
        ({"temperature": 0.0009}, "invalid_temperature"),
        ({"temperature": 1000.5}, "invalid_temperature"),
        ({"temperature": float("nan")}, "invalid_temperature"),
        ({"sampling": "uniform"}, "invalid_sampling"),
    ],
    ids=ascii,
)
def test_servings_that_no_server_can_follow(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Serving.of(LAPS, **options)
    assert caught.value.code == code
