"""Safetensors: our own form of a weight file, whose metadata carries variant, configuration and notes, and others'."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from laps_export.checkpoint.bounds import read_object
from laps_export.checkpoint.unpickle import not_a_checkpoint
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families import registry
from laps_export.families.family import Family, ModelConfig, VideoModel

_FORMAT_NAME = "laps-export"
_FORMAT_VERSION = "1"
_HINT = "`laps-export convert` writes such files"


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """What such a file holds; the tensors are not yet looked at."""

    state: dict[str, Tensor]
    variant: str
    family: Family
    config: ModelConfig
    notes: dict[str, Any]


def save_checkpoint(path: Path, model: VideoModel, *, notes: Mapping[str, Any] | None = None) -> None:
    """Write a model's weights with all that is needed to build it again."""
    metadata = {
        "format": _FORMAT_NAME,
        "format_version": _FORMAT_VERSION,
        "variant": model.variant,
        "config": json.dumps(model.config.to_json()),
        "notes": json.dumps(dict(notes or {})),
    }
    state = {name: value.detach().contiguous().clone() for name, value in model.network.state_dict().items()}
    save_file(state, path, metadata=metadata)


def read_safetensors(path: Path) -> OwnFile | dict[str, Tensor]:
    """What `save_checkpoint` wrote, or the tensors of a file that others wrote, by name.

    Raises:
        CheckpointError: `not_a_checkpoint`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except Exception as exc:  # SafetensorError, and whatever torch says to a type it does not know
        raise not_a_checkpoint(path) from exc
    if metadata.get("format") != _FORMAT_NAME:
        return state
    if metadata.get("format_version") != _FORMAT_VERSION:
        raise CheckpointError(f"{path.name} is of another version of laps-export", code="not_a_checkpoint", hint=_HINT)
    try:
        variant = metadata["variant"]
        family, config = _read_config(variant, read_object(metadata["config"]))
        notes = read_object(metadata.get("notes", "{}"))
        for what in ("metrics", "recipe"):
            if not isinstance(notes.get(what, {}), dict):
                raise TypeError(f"{what} in its notes is no JSON object")
    except (KeyError, ValueError, TypeError, ConfigError, RecursionError) as exc:
        raise CheckpointError(
            f"the metadata of {path.name} cannot be read: {exc}", code="not_a_checkpoint", hint=_HINT
        ) from exc
    return OwnFile(state=state, variant=variant, family=family, config=config, notes=notes)


def _read_config(variant: str, data: dict[str, Any]) -> tuple[Family, ModelConfig]:
    """By the family that has the variant; a variant that is in no table any more is the first family's that reads it.

    Raises:
        ConfigError: none reads it.
    """
    known = registry.family_of(variant)
    errors: list[ConfigError] = []
    for family in registry.FAMILIES.values() if known is None else (known,):
        try:
            return family, family.read_config(data)
        except ConfigError as exc:
            errors.append(exc)
    raise errors[0]
