"""Real views for trying engines: the shots of a small video that ships, by each model's own rules.

``bench/trial_views.py`` made it: ten shots of ten motions over photographs that are free of rights. A window of time is
a shot, so every view shows another one, and a model that tells the shots apart has other labels for them.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.models.manifest import Manifest
from laps_server.video.extract import extract_parts
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip
from laps_server.view_grid import ViewGrid
from laps_server.view_options import view_options

_VIDEO = Path(__file__).with_suffix(".mp4")
_SHOT_S = Fraction(13, 5)


def trial_views(manifest: Manifest) -> UInt8Array:
    """One view of each shot as the model samples and crops it, ``[V, T, H, W, 3]``."""
    options = view_options(manifest, ViewGrid(1, 1), window_s=_SHOT_S)
    views = []
    with _VIDEO.open("rb") as file:
        for part in extract_parts(file.fileno(), options, limits=MediaLimits()):
            clip = np.empty(manifest.clip_shape, np.uint8)
            assemble_clip(part, 0, clip)
            views.append(clip)
    return np.stack(views)  # [V, T, H, W, 3]


@cache
def trial_views_sha256() -> str:
    """Of the video: with another one, what was found before is void."""
    return hashlib.sha256(_VIDEO.read_bytes()).hexdigest()
