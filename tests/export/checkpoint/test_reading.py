from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from laps_export.checkpoint.checkpoint import WeightFile
from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.checkpoint.safetensors_file import save_checkpoint
from laps_export.errors import CheckpointError, ConfigError, LapsExportError
from laps_export.families.laps.visformer import Laps
from support.golden_weights import AUTHORS_PREFIX
from support.small_laps import SMALL, as_model

State = dict[str, Any]


def _authors(path: Path, state: State, **extra: object) -> Path:
    prefixed = {AUTHORS_PREFIX + name: value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": prefixed, "best_acc1": 71.5, "optimizer": {}, **extra}, path)
    return path


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_the_authors_training_file(tmp_path: Path, small_model: Laps) -> None:
    path = _authors(tmp_path / "best_ckpt.pth", small_model.state_dict())
    checkpoint = read_checkpoint(path)
    assert (checkpoint.form, checkpoint.epoch, checkpoint.best_acc1) == (WeightFile.AUTHORS, 3, 71.5)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), checkpoint)
    assert _same(fresh.state_dict(), small_model.state_dict())


def test_the_old_file_format_of_torch_is_read_too(tmp_path: Path, small_model: Laps) -> None:
    state = {AUTHORS_PREFIX + name: value for name, value in small_model.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_weights(as_model(Laps(SMALL)), read_checkpoint(tmp_path / "old.pth"))


def test_half_precision_is_widened(tmp_path: Path, small_model: Laps) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in small_model.state_dict().items()}
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), read_checkpoint(_authors(tmp_path / "half.pth", halves)))
    assert fresh.head.weight.dtype == torch.float32
    torch.testing.assert_close(fresh.head.weight, small_model.head.weight, atol=1e-3, rtol=1e-3)


def test_best_accuracy_may_be_a_tensor(tmp_path: Path, small_model: Laps) -> None:
    path = _authors(tmp_path / "c.pth", small_model.state_dict(), best_acc1=torch.tensor(70.25))
    assert read_checkpoint(path).best_acc1 == 70.25


def test_a_pretrained_backbone_loses_its_head(tmp_path: Path, small_model: Laps) -> None:
    state = {**small_model.state_dict(), "head.weight": torch.zeros(1000, 64), "head.bias": torch.zeros(1000)}
    torch.save({"model": state}, tmp_path / "imagenet.pth")
    checkpoint = read_checkpoint(tmp_path / "imagenet.pth")
    assert checkpoint.form is WeightFile.PRETRAINED
    assert checkpoint.dropped == ("head.weight", "head.bias")
    fresh = Laps(SMALL)
    head = fresh.head.weight.clone()
    load_weights(as_model(fresh), checkpoint, keep_head=True)
    assert torch.equal(fresh.head.weight, head)
    assert torch.equal(fresh.state_dict()["stem.0.weight"], small_model.state_dict()["stem.0.weight"])
    with pytest.raises(CheckpointError) as caught:
        load_weights(as_model(fresh), checkpoint)
    assert caught.value.code == "no_head"


def test_a_whole_model_under_the_key_of_backbones_keeps_its_head(tmp_path: Path, small_model: Laps) -> None:
    torch.save({"model": small_model.state_dict(), "epoch": 3}, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth")
    whole = read.with_own_head(classes=7)
    assert (read.own_classes, whole.form, whole.epoch, whole.dropped) == (7, WeightFile.AUTHORS, 3, ())
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), whole)
    assert _same(fresh.state_dict(), small_model.state_dict())
    assert read.with_own_head(classes=1000) is read, "a head of other classes is a backbone's"


def test_a_head_of_other_classes_is_not_called_missing(tmp_path: Path, small_model: Laps) -> None:
    torch.save({"model": small_model.state_dict()}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError) as caught:
        load_weights(as_model(Laps(replace(SMALL, classes=9))), read_checkpoint(tmp_path / "c.pth"))
    assert caught.value.message == "the head in c.pth has 7 classes, the label set 9"
    assert "a label set of 7 labels" in (caught.value.hint or "")
    assert "--random-weights" in (caught.value.hint or "")


def test_a_backbone_must_fit_all_but_its_head(tmp_path: Path, small_model: Laps) -> None:
    state = dict(small_model.state_dict())
    del state["norm.bn.weight"]
    torch.save({"model": state}, tmp_path / "imagenet.pth")
    with pytest.raises(CheckpointError, match=r"lacks norm\.bn\.weight") as caught:
        load_weights(as_model(Laps(SMALL)), read_checkpoint(tmp_path / "imagenet.pth"), keep_head=True)
    assert caught.value.code == "missing_key"


def test_our_own_file_carries_its_configuration(tmp_path: Path, small_model: Laps) -> None:
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, as_model(small_model), notes={"epoch": 5, "metrics": {"top1": 0.9}})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.form, checkpoint.variant, checkpoint.config) == (WeightFile.OURS, "small", SMALL)
    assert (checkpoint.epoch, checkpoint.notes["metrics"]) == (5, {"top1": 0.9})
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), checkpoint)
    assert _same(fresh.state_dict(), small_model.state_dict())


def test_our_own_file_is_not_taken_for_another_variant(tmp_path: Path, small_model: Laps) -> None:
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, as_model(small_model))
    other = Laps(replace(SMALL, levels=((1, 2), (3, 2))))  # the same shapes everywhere
    with pytest.raises(ConfigError) as caught:
        load_weights(as_model(other), read_checkpoint(path))
    assert caught.value.code == "variant_mismatch"
    assert "levels" in caught.value.message


Change = Callable[[State], None]


def _drop(*names: str) -> Change:
    def change(state: State) -> None:
        for name in names:
            del state[name]

    return change


def _put(name: str, value: object) -> Change:
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (_drop("stem.0.weight"), "missing_key", "lacks stem.0.weight"),
        (_drop("stem.0.weight", "norm.bn.bias"), "missing_key", "lacks stem.0.weight (and 1 more)"),
        (_drop("head.weight"), "missing_key", "lacks head.weight"),
        (_put("stage9.bias", torch.zeros(1)), "unexpected_key", "unexpected key stage9.bias"),
        (
            _put("pos_embed1", torch.zeros(1, 16, 7, 7)),
            "wrong_shape",
            "pos_embed1 [1, 16, 7, 7], not [1, 16, 8, 8]",
        ),
        (_put("head.weight", torch.zeros(174, 64)), "class_count", "has 174 classes, the label set 7"),
        (_put("head.bias", torch.full((7,), torch.nan)), "not_finite", "NaN or infinity in head.bias"),
        (_put("stem.0.weight", [1, 2]), "wrong_type", "stem.0.weight (list)"),
        (_put("head.bias", torch.zeros(7, dtype=torch.complex64)), "wrong_type", "head.bias (torch.complex64"),
        (_put("head.bias", torch.zeros(7, dtype=torch.int64)), "wrong_type", "head.bias (torch.int64"),
        (_put("head.bias", torch.full((7,), 1e300, dtype=torch.float64)), "not_finite", "infinity in head.bias"),
        (_put("head.bias", torch.zeros(7, device="meta")), "wrong_type", "head.bias ([7] of torch.float32, meta"),
        (_put("head.bias", torch.zeros(7).to_sparse()), "wrong_type", "head.bias"),
        (_put("head.weight", torch.zeros(10**12, 0)), "wrong_type", "head.weight"),
        (_put("stage9.bias", torch.full((9,), torch.nan)), "unexpected_key", "stage9.bias"),
        (_put("pos_embed1", torch.full((3,), torch.nan)), "wrong_shape", "pos_embed1 [3]"),
    ],
    ids=[
        *("missing", "two-missing", "no-head", "unexpected", "shape", "classes", "nan", "no-tensor"),
        *("complex", "integer", "beyond-float32", "meta", "sparse", "empty", "unexpected-nan", "shape-nan"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, small_model: Laps, change: Change, code: str, message: str) -> None:
    state: State = dict(small_model.state_dict())
    change(state)
    path = _authors(tmp_path / "c.pth", state)
    with pytest.raises(CheckpointError) as caught:
        load_weights(as_model(Laps(SMALL)), read_checkpoint(path))
    assert caught.value.code == code
    assert message in caught.value.message
    assert caught.value.hint


def _refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_weights(as_model(Laps(SMALL)), read_checkpoint(path))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", ["head.weight", "stem.0.weight", "stage9.bias"])
def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path, small_model: Laps, name: str) -> None:
    huge = torch.zeros(1).expand(10**14)
    path = _authors(tmp_path / "c.pth", {**small_model.state_dict(), name: huge})
    assert _refused(path).code == "wrong_type"


@pytest.mark.filterwarnings("ignore")  # torch finds its own quantisation deprecated
def test_a_quantised_tensor_is_refused(tmp_path: Path, small_model: Laps) -> None:
    quantised = torch.quantize_per_tensor(torch.zeros(7), 0.1, 0, torch.qint8)
    path = _authors(tmp_path / "c.pth", {**small_model.state_dict(), "head.bias": quantised})
    assert _refused(path).code == "wrong_type"


@pytest.mark.parametrize(
    "best",
    [torch.zeros(3), torch.zeros(0), torch.zeros(1, device="meta"), 10**400, float("nan"), torch.tensor(torch.inf)],
    ids=["vector", "empty", "meta", "huge", "nan", "infinite-tensor"],
)
def test_an_accuracy_that_is_no_number_is_refused(tmp_path: Path, small_model: Laps, best: object) -> None:
    path = _authors(tmp_path / "c.pth", small_model.state_dict(), best_acc1=best)
    assert _refused(path).code == "invalid_metadata"


def _rezip(path: Path, write: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in members:
            write(archive, info, content)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = _authors(tmp_path / "c.pth", {"stem.0.weight": torch.zeros(4 << 20)})
    _rezip(path, lambda archive, info, content: archive.writestr(info.filename, content, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 100_000
    assert _refused(path).code == "checkpoint_refused"


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data/0", bytes(100_000))
        for number in range(1, 50):
            again = copy.copy(archive.filelist[0])
            again.filename = f"archive/data/{number}"
            archive.filelist.append(again)
    assert _refused(path).code == "checkpoint_refused"


def _ours(path: Path, model: Laps, **metadata: str) -> Path:
    whole = {"format": "laps-export", "format_version": "1", "variant": "small", "notes": "{}"}
    save_file(model.state_dict(), path, metadata={**whole, "config": json.dumps(SMALL.to_json()), **metadata})
    return path


_CONFIG = json.dumps(SMALL.to_json())


@pytest.mark.parametrize(
    "metadata",
    [
        {"notes": "[]"},
        {"notes": "3"},
        {"notes": '{"metrics": []}'},
        {"notes": '{"recipe": 1}'},
        {"notes": '{"metrics": {"top1": NaN}}'},
        {"notes": '{"metrics": {"top1": 1e999}}'},
        {"notes": '{"a": ' * 100_000},
        {"notes": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"},
        {"notes": '{"a": ' + "[" * 200 + "]" * 200 + "}"},
        {"config": "[]"},
        {"config": "[" * 100_000},
        {"config": _CONFIG.replace('"classes": 7', '"classes": Infinity')},
        {"config": _CONFIG.replace('"classes": 7', '"classes": 1e999')},
        {"config": _CONFIG.replace('"frames": 8', '"frames": 1000000000000')},
    ],
    ids=[
        *("list", "number", "metrics", "recipe", "nan", "infinite", "deep-open", "deep", "deeper-than-readers"),
        *("config-list", "config-deep", "config-infinity", "config-infinite", "config-huge"),
    ],
)
def test_metadata_that_cannot_be_is_refused(tmp_path: Path, small_model: Laps, metadata: dict[str, str]) -> None:
    assert _refused(_ours(tmp_path / "c.safetensors", small_model, **metadata)).code == "not_a_checkpoint"


def test_accuracy_in_our_own_notes_is_checked_too(tmp_path: Path, small_model: Laps) -> None:
    path = _ours(tmp_path / "c.safetensors", small_model, notes=json.dumps({"best_acc1": 10**400}))
    assert _refused(path).code == "invalid_metadata"


def test_a_key_without_the_authors_prefix_is_unexpected(tmp_path: Path, small_model: Laps) -> None:
    named = {AUTHORS_PREFIX + name: value for name, value in small_model.state_dict().items()}
    others = {name: torch.zeros(1) for name in ("pos_embed1", "stem.0.weight")}
    torch.save({"state_dict": {**others, **named}}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"without the prefix .*pos_embed1 \(and") as caught:
        read_checkpoint(tmp_path / "c.pth")
    assert caught.value.code == "unexpected_key"


class _Payload:
    """A class that no weight file needs; if it were unpickled, the file beside it would appear."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path: Path, zipped: bool) -> None:
    witness = tmp_path / "witness"
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": _Payload(witness)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "checkpoint_refused"
    assert "getattr" in caught.value.message or "Path" in caught.value.message, "the refused name is told"
    assert "weights_only" not in caught.value.message, "torch's advice to load it all the same is not passed on"
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, I am a text file", b"\x80", b"PK\x03\x04 torn", bytes(8) + b"{", b"\x80\x04.garbage"],
    ids=["empty", "text", "short", "torn-zip", "torn-safetensors", "torn-pickle"],
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "not_a_checkpoint"
    assert ("is empty" if not content else f"{len(content)} bytes") in caught.value.message


def test_a_truncated_file_is_no_checkpoint(tmp_path: Path, small_model: Laps) -> None:
    path = _authors(tmp_path / "c.pth", small_model.state_dict())
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "not_a_checkpoint"


def test_a_plain_state_dict_is_told_how_to_be_wrapped(tmp_path: Path, small_model: Laps) -> None:
    torch.save(small_model.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "bare.pth")
    assert f"'{AUTHORS_PREFIX}' + k" in (caught.value.hint or "")


def test_a_file_without_weights_is_told_what_is_in_it(tmp_path: Path) -> None:
    torch.save({"net": {}, "epoch": 3}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"neither 'state_dict' nor 'model' is in it, but 'net', 'epoch'"):
        read_checkpoint(tmp_path / "c.pth")


@pytest.mark.parametrize("content", [{"weights": {}}, [1, 2], {"state_dict": {}}, {"model": 3}], ids=str)
def test_a_pickle_without_weights(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "c.pth")
    assert caught.value.code == "not_a_checkpoint"


@pytest.mark.parametrize("tensors", [{"a": torch.zeros(1)}, {}], ids=["others", "nothing"])
def test_safetensors_of_no_known_family_are_refused(tmp_path: Path, tensors: State) -> None:
    save_file(tensors, tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match="no weights of a known family"):
        read_checkpoint(tmp_path / "c.safetensors")


@pytest.mark.parametrize("prefix", ["", AUTHORS_PREFIX], ids=["bare", "wrapped"])
def test_safetensors_of_others_are_read_by_their_names(tmp_path: Path, small_model: Laps, prefix: str) -> None:
    state = {prefix + name: value.clone() for name, value in small_model.state_dict().items()}
    save_file(state, tmp_path / "c.safetensors", metadata={"format": "pt"})
    read = read_checkpoint(tmp_path / "c.safetensors")
    assert (read.form, read.variant, read.config) == (WeightFile.AUTHORS, None, None)
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), read)
    for name, value in small_model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)


def test_safetensors_of_another_version_of_ours_are_refused(tmp_path: Path, small_model: Laps) -> None:
    path = _ours(tmp_path / "c.safetensors", small_model, format_version="99")
    with pytest.raises(CheckpointError, match="another version"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["missing.pth", "."])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(LapsExportError) as caught:
        read_checkpoint(tmp_path / name)
    assert caught.value.code == "checkpoint_not_found"
