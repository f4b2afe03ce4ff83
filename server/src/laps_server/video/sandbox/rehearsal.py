"""One small decode before any file is closed off, so that nothing has to be imported later, when nothing can be."""

from __future__ import annotations

import io
import traceback
from pathlib import Path

from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.view_grid import ViewGrid

_VIDEO = Path(__file__).parents[2] / "trial_views.mp4"
_OPTIONS = ExtractOptions(
    ViewGrid(1, 3), frames=2, stride=1, short_side=32, crop_height=32, crop_width=32, thumbnails="all"
)


def rehearse() -> None:
    """Decode a video that ships, make a JPEG of it, and write a traceback to nowhere."""
    with _VIDEO.open("rb") as file:
        for _ in extract_parts(file.fileno(), _OPTIONS, limits=MediaLimits()):
            pass
    try:
        raise RuntimeError
    except RuntimeError as exc:
        traceback.print_exception(exc, file=io.StringIO())
