"""A family's small network all the way: weights in a file as others write it, and the entry that the exporter makes.

`exported` takes the way of the command, from a file; `export_small` random weights, and checks the entry.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from laps_export.checkpoint.checkpoint import Checkpoint
from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.cli import app as cli
from laps_export.families import registry
from laps_export.families.family import MAX_BATCH, Family, ModelConfig, Variant, VideoModel
from laps_export.families.random_weights import randomise
from laps_export.graph.complexity import Complexity, measure
from laps_export.repository.check_entry import check_entry
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import WeightOrigin
from laps_export.repository.serving import Serving
from laps_export.repository.write_version import VersionRequest, write_version
from laps_server.models.manifest import parse_manifest
from support.registered import register
from support.zoo_goldens import fill


def recipe_model(family: Family, config: ModelConfig, *, max_batch: int = 2) -> VideoModel:
    """A network with recipe weights, in evaluation mode."""
    network = family.build(config).eval()
    fill(network, [(end, 0.5) for end in family.residual_ends])
    return VideoModel(family=family, variant="small", config=config, network=network, max_batch=max_batch)


def saved(path: Path, content: object) -> Path:
    """As `torch.save` writes it."""
    torch.save(content, path)
    return path


def loaded_equals(path: Path, model: VideoModel) -> Checkpoint:
    """Read a file into a fresh network of the same numbers; fails where a weight differs."""
    read = read_checkpoint(path, family=model.family)
    fresh = replace(model, network=model.family.build(model.config))
    load_weights(fresh, read)
    wanted: dict[str, Tensor] = model.network.state_dict()
    got: dict[str, Tensor] = fresh.network.state_dict()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    return read


def cost_at(variant: str, *, resolution: int) -> Complexity:
    """What a registered variant would cost with frames of another size."""
    with torch.device("meta"):
        model = registry.build(variant)
    return measure(
        replace(model, config=model.family.read_config({**model.config.to_json(), "resolution": resolution}))
    )


def exported(
    monkeypatch: pytest.MonkeyPatch, model: VideoModel, checkpoint: Path, repository: Path, *options: str
) -> dict[str, Any]:
    """The manifest of the entry that `laps-export onnx` makes of a file, which must have passed the parity gate."""
    assert not run_export(monkeypatch, model, checkpoint, repository, *options)
    manifest: dict[str, Any] = json.loads((repository / "small" / "1" / "laps.json").read_text())
    return manifest


def run_export(
    monkeypatch: pytest.MonkeyPatch, model: VideoModel, checkpoint: Path, repository: Path, *options: str
) -> object:
    """Exit code of `laps-export onnx` with a file of weights."""
    family = model.family
    variants = {**family.variants, "small": Variant(model.config, max_batch=model.max_batch)}
    register(monkeypatch, replace(family, variants=variants))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    arguments = ["--checkpoint", checkpoint, "--variant", "small", "--name", "small", "--repository", repository]
    monkeypatch.setattr(sys, "argv", ["laps-export", "onnx", *map(str, arguments), *options])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def export_small(
    family: Family, config: ModelConfig, repository: Path, *, variant: str = "small", max_batch: int = MAX_BATCH
) -> dict[str, Any]:
    """The manifest of an entry with random weights; export, gate, verification and the server's reader raised nothing.

    Args:
        family: the row.
        config: small numbers.
        repository: an empty folder.
        variant: that of the table whose serving it gets; another name gets the family's.
        max_batch: as a variant says it.
    """
    model = VideoModel(family=family, variant=variant, config=config, network=family.build(config), max_batch=max_batch)
    randomise(model, seed=0)
    request = VersionRequest(
        model=model,
        labels=LabelSet("few", tuple(f"label {i}" for i in range(config.classes))),
        name="small",
        origin=WeightOrigin(checkpoint=None, untrained=True, seed=0),
        serving=Serving.of(family, variant=variant),
    )
    written = write_version(request, repository)
    check_entry(repository / "small")
    text = (written.path / "laps.json").read_bytes()
    parse_manifest(text, where="small")
    manifest: dict[str, Any] = json.loads(text)
    return manifest
