"""How one model wants to be served: what its manifest asks of a server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families import registry
from laps_export.families.family import Family

MAX_TEMPORAL_VIEWS = 64
SPATIAL_VIEWS = (1, 3)
MAX_STRIDE = 1024
MIN_TEMPERATURE = 0.001
MAX_TEMPERATURE = 1000.0
"""What the server accepts; tests/contract/test_manifest.py compares."""

_VIEWS = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a model wants to be served; checked at construction.

    Attributes:
        default_views: temporal x spatial views of a video where a request says nothing.
        stride: frames of the video from one sampled frame to the next.
        sampling: rule by which clips are placed in a video's time; a trained model wants the one that it was trained
            and scored with.
        temperature: logits are divided by it before the softmax.
    """

    default_views: str
    stride: int
    sampling: str
    temperature: float = 1.0

    @classmethod
    def of(
        cls,
        family: Family,
        *,
        variant: str | None = None,
        default_views: str | None = None,
        stride: int | None = None,
        sampling: str | None = None,
        temperature: float | None = None,
    ) -> Serving:
        """What is given, and the variant's own, or its family's, where nothing is.

        Raises:
            ConfigError: as the constructor.
        """
        own = family.serving_of(variant)
        return cls(
            default_views=own.default_views if default_views is None else default_views,
            stride=own.stride if stride is None else stride,
            sampling=own.sampling[0] if sampling is None else sampling,
            temperature=cls.temperature if temperature is None else temperature,
        )

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values no server can follow."""
        if not _views_can_be_taken(self.default_views):
            raise ConfigError(
                f"default views {self.default_views[:40]!r}",
                code="invalid_views",
                hint=f"temporal x spatial, 1 to {MAX_TEMPORAL_VIEWS} clips and 1 or 3 crops, such as 5x3 or 1x1",
            )
        if not 1 <= self.stride <= MAX_STRIDE:
            raise ConfigError(f"stride {self.stride}", code="invalid_stride", hint=f"1 to {MAX_STRIDE}")
        if not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            raise ConfigError(
                f"temperature {self.temperature}",
                code="invalid_temperature",
                hint=f"a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}",
            )
        if self.sampling not in registry.sampling_rules():
            raise ConfigError(
                f"sampling {self.sampling!r}",
                code="invalid_sampling",
                hint=f"one of {', '.join(registry.sampling_rules())}",
            )


def _views_can_be_taken(text: str) -> bool:
    match = _VIEWS.fullmatch(text)
    return match is not None and 1 <= int(match[1]) <= MAX_TEMPORAL_VIEWS and int(match[2]) in SPATIAL_VIEWS
