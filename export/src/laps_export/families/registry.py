"""Every family, and every variant by name: a new family is a new folder and a new row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from laps_export.errors import ConfigError
from laps_export.families.family import Family, Variant, VideoModel
from laps_export.families.laps.family import LAPS
from laps_export.families.mvit.family import MVIT
from laps_export.families.slowfast.family import SLOWFAST
from laps_export.families.tdn.family import TDN
from laps_export.families.timesformer.family import TIMESFORMER
from laps_export.families.video_swin.family import VIDEO_SWIN
from laps_export.families.vit.family import VIT
from laps_export.families.vit_laps.family import VIT_LAPS
from laps_export.families.vtn.family import VTN
from laps_export.families.x3d.family import X3D_FAMILY

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (LAPS, VIT, VIT_LAPS, VTN, TIMESFORMER, VIDEO_SWIN, MVIT, SLOWFAST, X3D_FAMILY, TDN)
}


def find_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ConfigError: `unknown_family`.
    """
    if name not in FAMILIES:
        raise ConfigError(f"unknown family {name!r}", code="unknown_family", hint=f"one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def family_of(variant: str | None) -> Family | None:
    """The family that has a variant of this name, if any has."""
    return next((family for family in FAMILIES.values() if variant in family.variants), None)


def all_variants() -> dict[str, Variant[Any]]:
    """Names to rows, over all families."""
    return {name: row for family in FAMILIES.values() for name, row in family.variants.items()}


def sampling_rules() -> tuple[str, ...]:
    """Every rule of sampling that some family is served with."""
    ways = (family.serving_of(name) for family in FAMILIES.values() for name in (None, *family.variants))
    return tuple(dict.fromkeys(rule for way in ways for rule in way.sampling))


def training_variant() -> str:
    """What is trained where nobody names a variant: the first family's that can be trained."""
    return next(family.training.variant for family in FAMILIES.values() if family.training is not None)


def find_variant(variant: str, *, classes: int | None = None) -> tuple[Family, Variant[Any]]:
    """A variant's family and its row, for `classes` outputs where given.

    Raises:
        ConfigError: `unknown_variant`, or a class count that cannot be.
    """
    family = family_of(variant)
    if family is None:
        raise ConfigError(
            f"unknown variant {variant!r}", code="unknown_variant", hint=f"one of {', '.join(all_variants())}"
        )
    row = family.variants[variant]
    return family, row if classes is None else replace(row, config=replace(row.config, classes=classes))


def build(variant: str, *, classes: int | None = None) -> VideoModel:
    """A model of the named variant in training mode, with torch's own initialisation.

    Args:
        variant: its name in the table.
        classes: K; None takes the variant's own.

    Raises:
        ConfigError: as `find_variant`.
    """
    family, row = find_variant(variant, classes=classes)
    network = family.build(row.config)
    return VideoModel(family=family, variant=variant, config=row.config, network=network, max_batch=row.max_batch)
