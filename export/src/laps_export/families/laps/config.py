"""The numbers that define one model, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from laps_export.errors import ConfigError
from laps_export.families.channel_shift import SHIFT_FOLDS
from laps_export.families.laps.attention import ATTENTION_SPECS, AttentionKind, Scope
from laps_export.families.laps.layers import MLP_GROUPS
from laps_export.families.leap_pairing import leap_pairs
from laps_export.families.whole_numbers import check_clips

STRIDES = (2, 4, 2, 2)
"""How the stem and the three patch embeddings shrink a frame; sizes floor at each."""


@dataclass(frozen=True, kw_only=True)
class LapsConfig:
    """All that is needed to build a model.

    Attributes:
        attention: kind of attention in stages 2 and 3.
        frames: T, frames a clip.
        resolution: height and width of a frame in pixels.
        levels: leap levels of stage 2's and stage 3's blocks; empty unless the kind leaps.
        embed_dim: E, width of stage 2; stage 1 has E/2, stage 3 has 2E.
        stem_channels: S, channels after the stem.
        heads: heads of every attention.
        depths: blocks in stage 1, 2 and 3.
        classes: K.
    """

    attention: AttentionKind
    frames: int = 8
    resolution: int = 224
    levels: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    embed_dim: int = 384
    stem_channels: int = 32
    heads: int = 6
    depths: tuple[int, int, int] = (7, 4, 4)
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no model can have."""
        self._check_positive()
        self._check_widths()
        self._check_levels()
        if self.grid[-1] < 1:
            raise ConfigError(
                f"resolution {self.resolution} leaves no pixel after the strides {STRIDES}",
                code="invalid_resolution",
                hint="the smallest resolution is 32; the published variants use 224, 320 and 360",
            )

    @property
    def grid(self) -> tuple[int, int, int]:
        """Side of the token grid in stage 1, 2 and 3."""
        side, *sides = self.resolution // STRIDES[0], *STRIDES[1:]
        grids = []
        for stride in sides:
            side //= stride
            grids.append(side)
        return grids[0], grids[1], grids[2]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able twin; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LapsConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: a field is missing, unknown or of the wrong kind.
        """
        known = {field.name for field in fields(cls)}
        if set(data) != known:
            raise ConfigError(f"configuration has fields {sorted(data)}, not {sorted(known)}", code="invalid_config")
        try:
            levels2, levels3 = data["levels"]
            depth1, depth2, depth3 = data["depths"]
            numbers = {key: int(data[key]) for key in known - {"attention", "levels", "depths"}}
            return cls(
                attention=AttentionKind(data["attention"]),
                levels=(tuple(int(level) for level in levels2), tuple(int(level) for level in levels3)),
                depths=(int(depth1), int(depth2), int(depth3)),
                **numbers,
            )
        except (TypeError, ValueError, OverflowError) as exc:
            raise ConfigError(f"configuration cannot be read: {exc}", code="invalid_config") from exc

    def _check_positive(self) -> None:
        numbers = {
            "frames": self.frames,
            "resolution": self.resolution,
            "embed_dim": self.embed_dim,
            "stem_channels": self.stem_channels,
            "heads": self.heads,
            "classes": self.classes,
            "depth": min(self.depths),
        }
        for name, value in numbers.items():
            if value < 1:
                raise ConfigError(f"{name} is {value}", code=f"invalid_{name}", hint="it must be at least 1")
        check_clips(self)

    def _check_widths(self) -> None:
        # Head width E / heads must split into the shift's quarters; stage 1's MLP is E wide, in groups.
        unit = SHIFT_FOLDS * self.heads
        if self.embed_dim % unit or self.embed_dim % MLP_GROUPS:
            raise ConfigError(
                f"embed_dim {self.embed_dim} does not fit {self.heads} heads",
                code="invalid_embed_dim",
                hint=f"it must be a multiple of {unit} (4 x heads) and of {MLP_GROUPS} (groups of the MLP)",
            )

    def _check_levels(self) -> None:
        leaps = ATTENTION_SPECS[self.attention].scope is Scope.PAIR
        for stage, (levels, depth) in enumerate(zip(self.levels, self.depths[1:], strict=True), start=2):
            wanted = depth if leaps else 0
            if len(levels) != wanted:
                raise ConfigError(
                    f"stage {stage} has {len(levels)} leap levels",
                    code="invalid_level",
                    hint=f"{self.attention} with {depth} blocks there takes {wanted}",
                )
            for level in levels:
                leap_pairs(self.frames, level)
