from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.errors import ConfigError
from laps_export.families.family import VideoModel
from laps_export.families.vtn import network as network_module
from laps_export.families.vtn.config import VtnConfig
from laps_export.families.vtn.family import VTN
from laps_export.families.vtn.network import Vtn
from support.family_exports import export_small
from support.zoo_goldens import fill, golden_input

SMALL = VtnConfig(frames=12, resolution=32, width=16, heads=2, depth=2, layers=2, reach=2, places=20, classes=5)


def _filled() -> Vtn:
    network = Vtn(SMALL).eval()
    fill(network, [])
    return network


def test_an_authors_checkpoint_loads_and_what_it_does_not_use_is_said(tmp_path: Path) -> None:
    network = _filled()
    state = {**network.state_dict(), "temporal_encoder.embeddings.position_ids": torch.arange(20)[None]}
    torch.save({"epoch": 24, "model_state": state, "optimizer_state": {}, "cfg": "MODEL: {}"}, tmp_path / "c.pyth")
    read = read_checkpoint(tmp_path / "c.pyth")
    assert (read.family, read.epoch) == (VTN, 24)
    assert read.dropped == ("temporal_encoder.embeddings.position_ids",)
    assert read.remarks == ("left out temporal_encoder.embeddings.position_ids, which the network does not use",)
    fresh = VideoModel(family=VTN, variant="small", config=SMALL, network=Vtn(SMALL).eval())
    load_weights(fresh, read)
    with torch.inference_mode():
        assert torch.equal(fresh.network(golden_input(12, 32))[0], network(golden_input(12, 32))[0])


def test_frames_may_be_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, clip = _filled(), golden_input(12, 32)
    with torch.inference_mode():
        whole = network(clip)[0]
        monkeypatch.setattr(network_module, "FRAMES_AT_ONCE", 5)
        torch.testing.assert_close(network(clip)[0], whole)


@pytest.mark.parametrize("at_once", [50, 5], ids=["whole", "in parts"])
def test_a_small_one_passes_the_gate_and_says_how_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(network_module, "FRAMES_AT_ONCE", at_once)
    # Tables large enough that torch's exporter leaves them to the graph, as it does with those of full size.
    manifest = export_small(VTN, replace(SMALL, places=2000), tmp_path, max_batch=3)
    assert (manifest["family"], manifest["output"]["kind"]) == ("vtn", "per_clip")
    assert (manifest["sampling"], manifest["inputs"][0]["stride"], manifest["default_views"]) == (
        "whole_clip",
        1,
        "1x1",
    )
    assert manifest["embedding"] == {"name": "embedding", "size": 16}
    assert (manifest["preprocess"]["mean"], manifest["preprocess"]["std"]) == ([0.45] * 3, [0.225] * 3)
    assert (manifest["preprocess"]["short_side"], manifest["preprocess"]["crop_height"]) == (36, 32)


def test_its_pictures_are_shrunk_to_256_and_cropped_to_224() -> None:
    assert VTN.short_side(VtnConfig()) == 256


def test_a_configuration_is_read_back_as_it_was() -> None:
    assert VtnConfig.from_json(SMALL.to_json()) == SMALL
    with pytest.raises(ConfigError) as caught:
        VtnConfig.from_json({**SMALL.to_json(), "reach": "9"})
    assert caught.value.code == "invalid_config"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"frames": 19}, "invalid_frames"),
        ({"layers": 0}, "invalid_layers"),
        ({"heads": 3}, "invalid_width"),
        ({"resolution": 8}, "invalid_resolution"),
    ],
)
def test_numbers_that_no_network_can_have(change: dict[str, int], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **change)
    assert caught.value.code == code
