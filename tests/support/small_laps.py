"""A model that is LAPS in every part and small enough to export in seconds; and the table's own ones as networks."""

from __future__ import annotations

from dataclasses import replace

from laps_export.families.family import VideoModel
from laps_export.families.laps.attention import AttentionKind
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.family import LAPS
from laps_export.families.laps.variants import VARIANTS
from laps_export.families.laps.visformer import Laps
from laps_export.graph.tensor_contract import TensorContract
from laps_export.repository.label_set import LabelSet
from laps_export.repository.manifest import WeightOrigin
from laps_export.repository.serving import Serving
from laps_export.repository.write_version import VersionRequest
from support.golden_weights import golden_state_dict

SMALL = LapsConfig(
    attention=AttentionKind.LAPS,
    frames=8,
    resolution=64,
    levels=((1, 2), (3, 1)),
    embed_dim=32,
    stem_channels=8,
    heads=2,
    depths=(1, 2, 2),
    classes=7,
)
LABELS = LabelSet("seven", tuple(f"label {i}" for i in range(SMALL.classes)))
SERVING = Serving.of(LAPS)
CONTRACT = TensorContract(frames=8, height=64, width=64, classes=7, steps=8)


def build_small() -> Laps:
    """Golden weights, evaluation mode."""
    model = Laps(SMALL)
    model.load_state_dict(golden_state_dict(model))
    return model.eval()


def as_model(network: Laps, *, variant: str = "small") -> VideoModel:
    """A network as the exporter passes it on."""
    return VideoModel(family=LAPS, variant=variant, config=network.config, network=network)


def config_of(variant: str, *, classes: int) -> LapsConfig:
    """The numbers of a variant that ships."""
    return replace(VARIANTS[variant].config, classes=classes)


def build_laps(variant: str, *, classes: int = 400) -> Laps:
    """The network of a variant that ships, with torch's own initialisation."""
    return Laps(config_of(variant, classes=classes))


def small_version_request(*, name: str = "small") -> VersionRequest:
    """All that is needed to write the small model into a repository."""
    origin = WeightOrigin(checkpoint=None)
    return VersionRequest(model=as_model(build_small()), labels=LABELS, name=name, origin=origin, serving=SERVING)
