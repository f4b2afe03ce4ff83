"""A small world of pictures that every machine with the test tools has."""

from __future__ import annotations

from functools import cache

import numpy as np

from laps_export.data.clip_settings import ClipSettings
from laps_export.data.clips import ClipMaker, PicturePool
from laps_export.data.pyramid import build_pyramid
from laps_export.data.textures import draw_texture
from laps_export.graph.moving_clips import PHOTOGRAPHS, photograph


@cache
def small_picture_pool() -> PicturePool:
    """Photographs of the imaging package and a few textures."""
    rng = np.random.default_rng(3)
    return PicturePool(
        photographs=tuple(build_pyramid(photograph(name)[..., :3].copy()) for name in PHOTOGRAPHS),
        textures=tuple(build_pyramid(draw_texture(rng, size=384)) for _ in range(4)),
    )


def easy_maker(size: int) -> ClipMaker:
    """Makes clear clips of that world; here rather than in a test, so that a loader's worker can import it."""
    settings = ClipSettings(size=size, coded_share=0.0, difficulty=0.0, side_crop_share=0.0, steady=True)
    return ClipMaker(small_picture_pool(), settings)
