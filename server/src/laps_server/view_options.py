"""What a model wants of a video, from its manifest: the one way from a model to the decoder's options."""

from __future__ import annotations

from fractions import Fraction

from laps_server.models.manifest import Manifest
from laps_server.video.extract_options import WHOLE_VIDEO_S, ExtractOptions, Thumbnails
from laps_server.view_grid import ViewGrid


def view_options(
    manifest: Manifest,
    grid: ViewGrid,
    *,
    thumbnails: Thumbnails = "none",
    window_s: Fraction = WHOLE_VIDEO_S,
    early: bool = False,
) -> ExtractOptions:
    """Options for the views of ``grid``; the rest is what :class:`ExtractOptions` says of it."""
    clip, preprocess = manifest.clip, manifest.preprocess
    return ExtractOptions(
        grid=grid,
        frames=clip.frames,
        stride=clip.stride,
        short_side=preprocess.short_side,
        crop_height=preprocess.crop_height,
        crop_width=preprocess.crop_width,
        thumbnails=thumbnails,
        window_s=window_s,
        early=early,
        sampling=manifest.sampling,
        long_side=preprocess.long_side,
        interpolation=preprocess.interpolation,
        crop_order=preprocess.crop_order,
        crop_offset=preprocess.crop_offset,
    )
