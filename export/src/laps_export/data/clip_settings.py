"""What clips and batches are like; apart from what makes them, so that a command line can show it without."""

from __future__ import annotations

from dataclasses import dataclass

from laps_export.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """What clips are like.

    Attributes:
        frames: T.
        size: N, height and width in pixels.
        stride: frames of the video between two of the clip.
        difficulty: 0 to 1, see `draw_script`.
        coded_share: of clips that go through a real video codec.
        side_crop_share: of clips that are not the centre of a wide frame.
        texture_share: of clips that show a procedural texture.
        steady: one motion throughout every clip.
    """

    frames: int = 8
    size: int = 112
    stride: int = 4
    difficulty: float = 1.0
    coded_share: float = 0.1
    side_crop_share: float = 0.2
    texture_share: float = 0.15
    steady: bool = False

    def __post_init__(self) -> None:
        """Raise `DataError` for what no clip can be."""
        shares = (self.difficulty, self.coded_share, self.side_crop_share, self.texture_share)
        if not all(0 <= share <= 1 for share in shares):
            raise DataError(f"shares {shares}", code="invalid_settings", hint="each from 0 to 1")
        if self.size < 32 or self.size % 2:
            raise DataError(f"size {self.size}", code="invalid_settings", hint="even, at least 32")


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """How clips become batches.

    Attributes:
        seed: of everything.
        batch: B, clips in a batch.
        uses: batches that each clip stands in.
        easy_batches: batches over which difficulty rises from 0 to the clips' own.
        first_block: where to begin, for a run that goes on.
    """

    seed: int
    batch: int = 24
    uses: int = 2
    easy_batches: int = 0
    first_block: int = 0
