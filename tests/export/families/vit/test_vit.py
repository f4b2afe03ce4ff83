from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from laps_export.checkpoint.checkpoint import WeightFile
from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families.family import VideoModel
from laps_export.families.vit.config import VitConfig
from laps_export.families.vit.family import VARIANTS, VIT
from laps_export.families.vit.network import Vit
from support.family_exports import export_small
from support.zoo_goldens import fill, golden_input

SMALL = VitConfig(frames=4, resolution=48, shift=True, width=16, heads=2, depth=2, classes=5)
_PUBLISHED = {
    "cls_token": "transformer.embeddings.cls_token",
    "pos_embed": "transformer.embeddings.position_embeddings",
    "patch_embed.proj": "transformer.embeddings.patch_embeddings",
    "norm1": "attention_norm",
    "attn.proj": "attn.out",
    "norm2": "ffn_norm",
    "mlp": "ffn",
}


def _model() -> VideoModel:
    network = Vit(SMALL)
    fill(network, [])
    return VideoModel(family=VIT, variant="small", config=SMALL, network=network.eval())


def _published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two hundred names for a hundred and fifty-two, as the files that the authors published have them."""
    theirs: dict[str, Tensor] = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        if name.startswith("blocks."):
            _, number, part = stem.split(".", 2)
            layer = f"transformer.encoder.layer.{number}."
            if part == "attn.qkv":
                for third, values in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    theirs[f"{layer}attn.{third}.{kind}"] = values
            elif part.startswith("mlp."):
                theirs[f"{layer}{part.replace('mlp', 'ffn')}.{kind}"] = value
            else:
                theirs[f"{layer}{_PUBLISHED[part]}.{kind}"] = value
        elif name in _PUBLISHED:
            theirs[_PUBLISHED[name]] = value
        else:
            stem = {"norm": "transformer.encoder.encoder_norm", **_PUBLISHED}.get(stem, stem)
            theirs[f"{stem}.{kind}"] = value
    return theirs


def _write(path: Path, state: dict[str, Tensor], **more: Any) -> Path:
    prefixed = {f"module.base_model.{name}": value for name, value in state.items()}
    torch.save({"epoch": 17, "state_dict": prefixed, "best_acc1": 76.0, **more}, path)
    return path


@pytest.mark.parametrize("naming", [dict, _published], ids=["152 names", "200 names"])
def test_both_namings_of_the_authors_load(tmp_path: Path, naming: Any) -> None:
    model = _model()
    read = read_checkpoint(_write(tmp_path / "c.pth", naming(model.network.state_dict())))
    assert (read.family, read.form, read.epoch, read.remarks) == (VIT, WeightFile.AUTHORS, 17, ())
    fresh = replace(model, network=Vit(SMALL).eval())
    load_weights(fresh, read)
    clips = golden_input(4, 48)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(fresh.network(clips), model.network(clips), strict=True))


def test_a_published_file_that_lacks_a_third_of_qkv_is_refused(tmp_path: Path) -> None:
    state = _published(_model().network.state_dict())
    del state["transformer.encoder.layer.1.attn.key.bias"]
    with pytest.raises(CheckpointError, match=r"lacks blocks\.1\.attn\.qkv\.bias") as caught:
        load_weights(_model(), read_checkpoint(_write(tmp_path / "c.pth", state)))
    assert caught.value.code == "missing_key"


def test_published_names_are_as_many_as_the_authors_class_has() -> None:
    with torch.device("meta"):
        state = Vit(VARIANTS["vit_video"].config).state_dict()
    assert (len(state), len(_published(state))) == (152, 200)


@pytest.mark.parametrize("shift", [False, True], ids=["vit", "tokshift"])
def test_a_small_one_passes_the_gate_and_says_how_it_is_served(tmp_path: Path, shift: bool) -> None:
    manifest = export_small(VIT, replace(SMALL, shift=shift), tmp_path, max_batch=4)
    assert (manifest["family"], manifest["output"]["kind"]) == ("vit", "per_frame")
    assert manifest["embedding"] == {"name": "embedding", "size": 16}
    assert (manifest["sampling"], manifest["inputs"][0]["stride"]) == ("tokshift", 32)
    assert (manifest["default_views"], manifest["max_batch"]) == ("10x3", 4)
    assert manifest["preprocess"] == {
        "short_side": 48,
        "crop_height": 48,
        "crop_width": 48,
        "interpolation": "bilinear_antialiased",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "crop_order": "centre_first",
    }
    assert manifest["precisions"]["float32"]["parity"]["batch_sizes"] == [1, 3, 4]


def test_the_embedding_is_what_the_head_reads_averaged_over_frames() -> None:
    network = Vit(SMALL).eval()
    with torch.inference_mode():
        logits, embedding = network(golden_input(4, 48))
        torch.testing.assert_close(network.head(embedding), logits.mean(1))


def test_a_configuration_is_read_back_as_it_was() -> None:
    assert VitConfig.from_json(SMALL.to_json()) == SMALL
    for wrong in ({**SMALL.to_json(), "shift": 1}, {**SMALL.to_json(), "x": 1}, {"frames": 8}):
        with pytest.raises(ConfigError) as caught:
            VitConfig.from_json(wrong)
        assert caught.value.code == "invalid_config"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"frames": 0}, "invalid_frames"),
        ({"resolution": 8}, "invalid_resolution"),
        ({"resolution": 8192}, "invalid_resolution"),
        ({"heads": 3}, "invalid_width"),
        ({"classes": 0}, "invalid_classes"),
    ],
)
def test_numbers_that_no_network_can_have(change: dict[str, int], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        VitConfig(**{**SMALL.to_json(), **change})
    assert caught.value.code == code


def test_clips_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        _model().network(golden_input(5, 48))
    assert caught.value.code == "invalid_input"
