from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from laps_export.checkpoint.checkpoint import Checkpoint, WeightFile
from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import CheckpointError
from laps_export.families.laps.visformer import Laps
from support.golden_weights import AUTHORS_PREFIX
from support.small_laps import SMALL, as_model


def _named(model: Laps, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in model.state_dict().items()}


def _loaded(path: Path, state: dict[str, Tensor], *, key: str = "state_dict") -> tuple[Checkpoint, dict[str, Tensor]]:
    torch.save({key: state}, path)
    read = read_checkpoint(path)
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), read.with_own_head(classes=SMALL.classes))
    return read, fresh.state_dict()


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema"])
@pytest.mark.parametrize(
    "prefix",
    [
        *("model.", "backbone.", "base_model.", "module.", "module.module.", "_orig_mod.", "module._orig_mod."),
        *("_orig_mod.module.base_model.", "module.module.base_model.", "student.net."),
    ],
)
def test_a_wrappers_prefix_is_taken_off_and_told(tmp_path: Path, small_model: Laps, prefix: str, key: str) -> None:
    read, state = _loaded(tmp_path / "c.pth", _named(small_model, prefix), key=key)
    assert _same(state, small_model.state_dict())
    assert f"took the prefix {prefix!r} off its names" in read.remarks


@pytest.mark.parametrize("prefix", [AUTHORS_PREFIX, ""], ids=["authors", "none"])
def test_names_as_they_should_be_are_not_remarked(tmp_path: Path, small_model: Laps, prefix: str) -> None:
    read, state = _loaded(tmp_path / "c.pth", _named(small_model, prefix))
    assert _same(state, small_model.state_dict())
    assert (read.form, read.remarks, read.dropped) == (WeightFile.AUTHORS, (), ())


def test_the_average_of_the_weights_alone_is_read_and_told(tmp_path: Path, small_model: Laps) -> None:
    read, state = _loaded(tmp_path / "c.pth", _named(small_model, AUTHORS_PREFIX), key="state_dict_ema")
    assert _same(state, small_model.state_dict())
    assert read.remarks == ("read its state_dict_ema, the average of the weights",)


def test_the_weights_themselves_go_before_their_average(tmp_path: Path, small_model: Laps) -> None:
    averaged = {name: torch.zeros_like(value) for name, value in _named(small_model, AUTHORS_PREFIX).items()}
    torch.save({"state_dict_ema": averaged, "state_dict": _named(small_model, AUTHORS_PREFIX)}, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth")
    assert _same(dict(read.state), small_model.state_dict())
    assert read.remarks == ()


@pytest.mark.parametrize("prefix", [AUTHORS_PREFIX, "model."])
@pytest.mark.parametrize("at", ["", "stage1.0.mlp.conv1."], ids=["whole", "part"])
def test_what_a_flop_counter_left_behind_is_left_out(tmp_path: Path, small_model: Laps, prefix: str, at: str) -> None:
    counters = {f"{prefix}{at}{name}": torch.zeros(1) for name in ("total_ops", "total_params")}
    read, state = _loaded(tmp_path / "c.pth", {**_named(small_model, prefix), **counters, "total_ops": torch.zeros(1)})
    assert _same(state, small_model.state_dict())
    assert read.dropped == (*counters, "total_ops")
    assert read.remarks[0] == "left out 3 of thop's counters (total_ops, total_params)"


def test_batch_counters_that_are_not_there_are_zero(tmp_path: Path, small_model: Laps) -> None:
    whole = small_model.state_dict()
    kept = {name: value for name, value in _named(small_model, "").items() if not name.endswith("num_batches_tracked")}
    read, state = _loaded(tmp_path / "c.pth", kept)
    assert len(kept) < len(whole)
    assert all(torch.equal(state[name], whole[name]) for name in kept)
    assert all(state[name].item() == 0 for name in whole if name not in kept)
    assert read.remarks == (f"set {len(whole) - len(kept)} missing num_batches_tracked to 0, which changes no answer",)


def test_two_models_in_one_file_are_refused_with_the_way_to_keep_one(tmp_path: Path, small_model: Laps) -> None:
    path = tmp_path / "c.pth"
    content = {"state_dict": {**_named(small_model, "model."), **_named(small_model, "teacher.")}}
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"without the prefix 'model\.' of most names, teacher\.") as caught:
        read_checkpoint(path)
    assert caught.value.code == "unexpected_key"
    hint = caught.value.hint or ""
    remedy = hint[hint.index("torch.save(") :]
    exec(remedy, {"torch": torch, "ckpt": content, "file": path})  # what the hint says is what helps
    fresh = Laps(SMALL)
    load_weights(as_model(fresh), read_checkpoint(path))
    assert _same(fresh.state_dict(), small_model.state_dict())


def test_a_foreign_model_is_named_by_its_first_weight(tmp_path: Path) -> None:
    torch.save({"state_dict": {"layer1.0.conv1.weight": torch.zeros(1)}}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"lacks pos_embed1 \(and") as caught:
        load_weights(as_model(Laps(SMALL)), read_checkpoint(tmp_path / "c.pth"))
    assert caught.value.code == "missing_key"
