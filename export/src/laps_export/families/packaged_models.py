"""Every trained network that `laps-export fetch` knows: a new one is a folder and a row here."""

from __future__ import annotations

from collections.abc import Mapping

from laps_export.errors import ConfigError
from laps_export.families.i3d.kinetics400 import I3D_KINETICS400
from laps_export.families.packaged_model import PackagedModel

PACKAGED_MODELS: Mapping[str, PackagedModel] = {model.name: model for model in (I3D_KINETICS400,)}


def find_packaged(name: str) -> PackagedModel:
    """The model of this name.

    Raises:
        ConfigError: `unknown_model`.
    """
    if name not in PACKAGED_MODELS:
        raise ConfigError(
            f"no package is known for {name!r}", code="unknown_model", hint=f"one of {', '.join(PACKAGED_MODELS)}"
        )
    return PACKAGED_MODELS[name]
