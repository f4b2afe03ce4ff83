"""The values that travel through a request, as frozen data that checks itself once, at construction.

Terms: a *clip* is the T frames that a model sees at once; a *view* is a clip and a spatial crop, the unit
of batching; views are numbered temporal-major, ``view = temporal * spatial_views + spatial``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from laps_server.errors import BadParameter

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]

# By which clips are placed in a video's time; laps_server/video/sampling.py has the arithmetic.
SamplingRule = Literal["laps_uniform", "uniform_in_order"]

MAX_TEMPORAL_VIEWS = 64
SPATIAL_VIEWS = (1, 3)
MAX_VIEWS = MAX_TEMPORAL_VIEWS * max(SPATIAL_VIEWS)  # of one request
MIN_SEGMENT_S = 1

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class ViewGrid:
    """How many views of a video are taken: ``temporal`` clips along time, ``spatial`` crops of each."""

    temporal: int
    spatial: int

    def __post_init__(self) -> None:
        if not 1 <= self.temporal <= MAX_TEMPORAL_VIEWS or self.spatial not in SPATIAL_VIEWS:
            raise BadParameter(
                f"views {self.temporal}x{self.spatial} cannot be taken",
                hint=f"use TxS with T from 1 to {MAX_TEMPORAL_VIEWS} clips and S of 1 (centre) or 3 crops, as in 5x3",
            )

    @classmethod
    def parse(cls, text: str) -> ViewGrid:
        """Read ``"5x3"``; raises :class:`BadParameter` where the text is anything else."""
        match = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text)
        if match is None:
            raise BadParameter(f"views {text[:40]!r} is not of the form TxS", hint="write it as 5x3, 10x3 or 1x1")
        return cls(int(match[1]), int(match[2]))

    @property
    def total(self) -> int:
        """Number of views, V = temporal * spatial."""
        return self.temporal * self.spatial

    def __str__(self) -> str:
        return f"{self.temporal}x{self.spatial}"


@dataclass(frozen=True, slots=True)
class SegmentLength:
    """How long the segments are that a video is cut into, in seconds; exact, so that the thousandth begins in time."""

    seconds: Fraction

    def __post_init__(self) -> None:
        if self.seconds < MIN_SEGMENT_S:
            raise BadParameter(
                f"segments of {float(self.seconds):g} s are too short",
                hint=f"use at least {MIN_SEGMENT_S} s, as in 10s",
            )

    @classmethod
    def parse(cls, text: str) -> SegmentLength:
        """Read ``"10s"``, ``"1.5m"`` or ``"1h"``; raises :class:`BadParameter` where the text is anything else."""
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])", text)
        if match is None:
            raise BadParameter(
                f"segments {text[:40]!r} is not a length", hint="write a number and s, m or h, as in 10s, 1.5m or 1h"
            )
        return cls(Fraction(match[1]) * _UNIT_SECONDS[match[2]])


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the container and the decoder say of a video stream.

    ``width`` and ``height`` are coded pixels, before ``rotation`` (degrees clockwise that the picture is
    turned for display, one of 0, 90, 180, 270). ``fps``, ``duration_s`` and ``frame_count`` are None where the
    container does not say or says something absurd. ``sample_aspect_ratio`` is reported, never applied.
    ``stream_index`` counts all streams of the file, sound among them.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None
    frame_count: int | None
    rotation: int
    sample_aspect_ratio: str | None
    stream_index: int


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """One distinct frame of the video that at least one view uses.

    ``index`` is the frame's number in presentation order from 0, None where it is not known without decoding
    everything before it. ``pts`` is in stream time base units relative to the stream's first frame;
    ``time_s`` the same in seconds.
    """

    index: int | None
    pts: int
    time_s: float


@dataclass(frozen=True, slots=True)
class CropBox:
    """A crop in the resized, upright frame, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """One label of a ranking: its index in the model's label list and its probability."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Per-frame scores on the video's own time axis; ``scores`` is ``[F, len(labels)]``."""

    frames: tuple[SampledFrame, ...]
    labels: tuple[str, ...]
    scores: Float32Array

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.frames), len(self.labels)):
            raise ValueError(f"scores {self.scores.shape} for {len(self.frames)} frames, {len(self.labels)} labels")
