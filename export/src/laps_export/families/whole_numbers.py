"""Configurations of whole numbers, tuples of them, and yes or no: read and checked alike in every family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

from laps_export.errors import ConfigError
from laps_export.families.family import ModelConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_FRAMES = 1024
MAX_RESOLUTION = 4096
"""What the server accepts; tests/contract/test_manifest.py compares."""

Config = TypeVar("Config", bound="DataclassInstance")


@dataclass(frozen=True, kw_only=True)
class WholeNumbers:
    """What every such configuration has: a form in which manifests and weight files carry it."""

    def to_json(self) -> dict[str, Any]:
        """A JSON-able twin; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: a field is missing, unknown or of the wrong kind.
        """
        return read_whole_numbers(cls, data)


def read_whole_numbers(kind: type[Config], data: Mapping[str, Any]) -> Config:
    """A configuration from its JSON.

    Raises:
        ConfigError: a field is missing, unknown or of the wrong kind, or the configuration refuses it.
    """
    known = {field.name: field for field in fields(kind)}
    if set(data) != set(known):
        raise ConfigError(f"configuration has fields {sorted(data)}, not {sorted(known)}", code="invalid_config")
    numbers: dict[str, Any] = {}
    for name, value in data.items():
        many = isinstance(known[name].default, tuple)
        wanted = bool if isinstance(known[name].default, bool) else int
        if many != isinstance(value, list | tuple) or any(
            type(item) is not wanted for item in (value if many else [value])
        ):
            raise ConfigError(f"configuration cannot be read: {name} is {value!r}", code="invalid_config")
        numbers[name] = tuple(value) if many else value
    return kind(**numbers)


def check_positive(config: DataclassInstance) -> None:
    """Raise `ConfigError` where a number is smaller than 1."""
    numbers = {name: value for name, value in asdict(config).items() if not isinstance(value, bool)}
    for name, value in numbers.items():
        smallest = min(value, default=0) if isinstance(value, tuple) else value
        if smallest < 1:
            raise ConfigError(f"{name} is {value}", code=f"invalid_{name}", hint="it must be at least 1")


def check_clips(config: ModelConfig) -> None:
    """Raise `ConfigError` for clips that no server takes."""
    for name, value, largest in (
        ("frames", config.frames, MAX_FRAMES),
        ("resolution", config.resolution, MAX_RESOLUTION),
    ):
        if value > largest:
            raise ConfigError(f"{name} is {value}", code=f"invalid_{name}", hint=f"no server takes more than {largest}")
