"""Small decodes before any file is closed off, so that nothing has to be imported later, when nothing can be."""

from __future__ import annotations

import io
import traceback
from dataclasses import replace
from pathlib import Path
from typing import get_args

from laps_server.preprocess_rules import Interpolation
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.view_grid import ViewGrid

_VIDEO = Path(__file__).parents[2] / "trial_views.mp4"
_OPTIONS = ExtractOptions(
    ViewGrid(1, 3), frames=2, stride=1, short_side=32, crop_height=32, crop_width=32, thumbnails="all"
)


def rehearse() -> None:
    """Decode a video that ships with every library that resizes, make JPEGs of it, write a traceback to nowhere."""
    with _VIDEO.open("rb") as file:
        for interpolation in get_args(Interpolation):
            options = replace(_OPTIONS, interpolation=interpolation)
            for _ in extract_parts(file.fileno(), options, limits=MediaLimits()):
                pass
    try:
        raise RuntimeError
    except RuntimeError as exc:
        traceback.print_exception(exc, file=io.StringIO())
