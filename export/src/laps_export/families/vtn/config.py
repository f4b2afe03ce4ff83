"""The numbers that define one network of the family, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import ConfigError
from laps_export.families.vision_transformer import VisionTransformerSize
from laps_export.families.whole_numbers import check_clips, check_positive


@dataclass(frozen=True, kw_only=True)
class VtnConfig(VisionTransformerSize):
    """All that is needed to build a network.

    Attributes:
        frames: T, frames a clip.
        resolution: height and width of a frame in pixels.
        layers: over the frames, behind the vision transformer.
        reach: how many frames to each side a frame attends to.
        places: P, position embeddings; frames have the first P - 2, the class token the next, padding the last.
        classes: K.
    """

    frames: int = 250
    resolution: int = 224
    layers: int = 3
    reach: int = 9
    places: int = 288
    classes: int = 400

    def __post_init__(self) -> None:
        """Raise `ConfigError` for numbers that no network can have."""
        check_positive(self)
        check_clips(self)
        if self.width % self.heads:
            raise ConfigError(
                f"width {self.width} does not fit {self.heads} heads",
                code="invalid_width",
                hint="it must be a multiple of the heads",
            )
        if self.resolution < self.patch:
            raise ConfigError(f"resolution {self.resolution} holds no patch", code="invalid_resolution")
        if self.frames > self.frame_places:
            raise ConfigError(f"{self.frames} frames, but positions for {self.frame_places}", code="invalid_frames")

    @property
    def frame_places(self) -> int:
        """Position embeddings that frames have."""
        return self.places - 2
