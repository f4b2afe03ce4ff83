"""Clips as a whole. Directions are judged by optical flow, which shares nothing with the camera model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from laps_export.data.arrays import Pixels
from laps_export.data.camera import Lens
from laps_export.data.camera_motion import IGNORED, CameraMotion
from laps_export.data.clip_settings import ClipSettings
from laps_export.data.clips import Clip, ClipMaker, fixed_set
from laps_export.data.motion_script import CameraPath
from laps_export.data.scene import Background, Scene, render
from laps_export.data.symmetry import Symmetry
from laps_export.errors import DataError
from support.optical_flow import measure, strongest
from support.small_picture_pool import small_picture_pool

SIZE = 112
DIRECTED = [motion for motion in CameraMotion if motion not in (CameraMotion.STATIC, CameraMotion.HANDHELD_SHAKE)]
SYMMETRIES = {
    "mirror": Symmetry(mirror=True),
    "upturn": Symmetry(upturn=True),
    "transpose": Symmetry(transpose=True),
    "reverse": Symmetry(reverse=True),
    "all": Symmetry(mirror=True, upturn=True, transpose=True, reverse=True),
}
STEPS = {
    CameraMotion.PAN_LEFT: ("yaw", -0.02),
    CameraMotion.PAN_RIGHT: ("yaw", 0.02),
    CameraMotion.TILT_UP: ("pitch", 0.02),
    CameraMotion.TILT_DOWN: ("pitch", -0.02),
    CameraMotion.ZOOM_IN: ("zoom", 0.04),
    CameraMotion.ZOOM_OUT: ("zoom", -0.04),
    CameraMotion.ROLL_CLOCKWISE: ("roll", 0.04),
    CameraMotion.ROLL_COUNTERCLOCKWISE: ("roll", -0.04),
}


def _film(motion: CameraMotion) -> Pixels:
    """A clean clip of the first photograph, the camera moved by hand."""
    name, step = STEPS[motion]
    still = CameraPath(yaw=np.zeros(8), pitch=np.zeros(8), zoom=np.zeros(8), roll=np.zeros(8))
    moved: dict[str, Any] = {name: step * (np.arange(8) - 3.5)}
    path = replace(still, **moved)
    lens = Lens(SIZE, SIZE, float(SIZE), 1.5, SIZE / 2, SIZE / 2)
    photo = small_picture_pool().photographs[0]
    ground = Background(photo, photo.width / 2, photo.height / 2, 0.6 * photo.height * lens.focal)
    return render(Scene(ground, ()), path, times=np.arange(8) / 8, lens=lens, video_side=240)


def _maker(**changes: object) -> ClipMaker:
    options: dict[str, object] = {"coded_share": 0.0, "steady": True, "difficulty": 0.0, "side_crop_share": 0.0}
    return ClipMaker(small_picture_pool(), ClipSettings(**{**options, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize("motion", DIRECTED, ids=lambda motion: motion.text)
def test_the_picture_moves_against_the_camera(motion: CameraMotion) -> None:
    seen = measure(_film(motion))
    assert strongest(seen, size=SIZE) is motion
    # The conventions once more, in words.
    if motion is CameraMotion.PAN_RIGHT:
        assert seen.right < -1
    if motion is CameraMotion.TILT_UP:
        assert seen.down > 1
    if motion is CameraMotion.ZOOM_IN:
        assert seen.growth > 0.02
    if motion is CameraMotion.ROLL_CLOCKWISE:
        assert seen.clockwise < -0.02


@pytest.mark.parametrize("name", SYMMETRIES)
@pytest.mark.parametrize("motion", DIRECTED, ids=lambda motion: motion.text)
def test_a_symmetry_relabels_what_it_turns(motion: CameraMotion, name: str) -> None:
    symmetry = SYMMETRIES[name]
    turned = np.ascontiguousarray(symmetry.frames(_film(motion)))
    assert strongest(measure(turned), size=SIZE) == symmetry.relabel[motion]
    labels = np.array([motion, IGNORED, CameraMotion.STATIC])
    moved = symmetry.labels(labels)
    assert moved[0 if not symmetry.reverse else 2] == symmetry.relabel[motion]
    assert moved[1] == IGNORED


def test_random_clips_show_what_their_label_says() -> None:
    maker = _maker()
    right = []
    for number in range(110):
        motion = DIRECTED[number % len(DIRECTED)]
        clip = maker.make([1, number], motion=motion)
        # Flow cannot follow a whip; a wrong sign would show at every speed.
        if clip.travel < 0.5:
            right.append(strongest(measure(clip.frames), size=SIZE) is clip.label)
    assert len(right) > 40
    assert np.mean(right) > 0.85


def test_a_clip_is_what_its_seed_says() -> None:
    maker = ClipMaker(small_picture_pool(), ClipSettings(coded_share=0.3))
    for seed in range(6):
        one, other = maker.make([seed]), maker.make([seed])
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.frame_labels, other.frame_labels)
        assert one.label is other.label
    assert (maker.make([1]).frames != maker.make([2]).frames).any()


@pytest.mark.parametrize("coded_share", [0.0, 1.0])
def test_clips_have_the_shape_of_the_networks_input(coded_share: float) -> None:
    maker = ClipMaker(small_picture_pool(), ClipSettings(coded_share=coded_share, side_crop_share=0.5, size=96))
    for seed in range(12):
        clip: Clip = maker.make([seed])
        assert clip.frames.shape == (8, 96, 96, 3)
        assert clip.frames.dtype == np.uint8
        assert clip.frame_labels.shape == (8,)
        assert set(clip.frame_labels.tolist()) <= {*range(10), IGNORED}
        assert bool(clip.codec) == bool(coded_share)


def test_a_fixed_set_holds_every_motion_equally_often() -> None:
    clips = list(fixed_set(_maker(), count=20, seed=4))
    assert sorted(int(clip.label) for clip in clips) == sorted([*range(10)] * 2)


@pytest.mark.parametrize("changes", [{"difficulty": 1.5}, {"size": 33}, {"coded_share": -0.1}])
def test_settings_that_no_clip_can_have_are_an_error(changes: dict[str, float]) -> None:
    with pytest.raises(DataError) as caught:
        ClipSettings(**changes)  # type: ignore[arg-type]
    assert caught.value.code == "invalid_settings"
