"""Checks that the numbers of any network need, raised as `ConfigError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from laps_export.errors import ConfigError

MAX_FRAMES = 1024
MAX_RESOLUTION = 4096
"""What the server accepts; tests/contract/test_manifest.py compares."""

Config = TypeVar("Config")


def check_positive(numbers: Mapping[str, int]) -> None:
    """Raise `ConfigError` unless each is at least 1, and frames and resolution are no more than servers take."""
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}", code=f"invalid_{name}", hint="it must be at least 1")
    for name, largest in {"frames": MAX_FRAMES, "resolution": MAX_RESOLUTION}.items():
        if numbers.get(name, 1) > largest:
            raise ConfigError(
                f"{name} is {numbers[name]}", code=f"invalid_{name}", hint=f"no server takes more than {largest}"
            )


def check_clips(shape: tuple[int, ...], *, frames: int, resolution: int) -> None:
    """Raise `ConfigError` `invalid_input` unless a network's input is `[B, T, 3, R, R]`."""
    wanted = (frames, 3, resolution, resolution)
    if shape[1:] != wanted:
        raise ConfigError(
            f"clips have shape {list(shape)}",
            code="invalid_input",
            hint=f"this model takes [B, {', '.join(map(str, wanted))}]",
        )


def read_numbers(kind: type[Config], data: Mapping[str, Any]) -> Config:
    """A dataclass of whole numbers and texts from what `asdict` made of it.

    Raises:
        ConfigError: a field is missing, unknown or of the wrong kind.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if set(data) != set(known):
        raise ConfigError(f"configuration has fields {sorted(data)}, not {sorted(known)}", code="invalid_config")
    wrong = [name for name, value in data.items() if type(value) is not type(known[name].default)]
    if wrong:
        raise ConfigError(f"configuration cannot be read: {wrong[0]} is {data[wrong[0]]!r}", code="invalid_config")
    return kind(**data)
