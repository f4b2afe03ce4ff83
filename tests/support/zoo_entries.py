"""A small network of a family, exported through the gate and read back as a server reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from laps_export.families.family import MAX_BATCH, Family, ModelConfig, VideoModel
from laps_export.families.random_weights import randomise
from laps_export.repository.check_entry import check_entry
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import WeightOrigin
from laps_export.repository.serving import Serving
from laps_export.repository.write_version import VersionRequest, write_version
from laps_server.models.manifest import parse_manifest

NAME = "small"


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
        name=NAME,
        origin=WeightOrigin(checkpoint=None, untrained=True, seed=0),
        serving=Serving.of(family, variant=variant),
    )
    written = write_version(request, repository)
    check_entry(repository / NAME)
    text = (written.path / "laps.json").read_bytes()
    parse_manifest(text, where=NAME)
    manifest: dict[str, Any] = json.loads(text)
    return manifest
