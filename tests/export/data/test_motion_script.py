from __future__ import annotations

import numpy as np
import pytest

from laps_export.data.camera_motion import IGNORED, CameraMotion
from laps_export.data.motion_script import (
    LIMITS,
    SHAKE_RMS,
    Jitter,
    MotionScript,
    MotionStretch,
    draw_script,
    draw_speed,
)

SPAN = 31 / 25
SPACING = SPAN / 7
TIMES = np.linspace(0, SPAN, 8)
MOVING = [motion for motion in CameraMotion if motion is not CameraMotion.STATIC]


def _script(*stretches: MotionStretch) -> MotionScript:
    quiet = Jitter(np.random.default_rng(0), rms=0.0, band_hz=(1, 5), waves=2)
    return MotionScript(stretches, {}, quiet, (None,) * len(stretches), (0.0, 1.0, 0.0), SPAN)


def _stretch(motion: CameraMotion, start: float, end: float) -> MotionStretch:
    return MotionStretch(motion, start, end, ease_s=0.05, speed=0.3)


def test_one_motion_throughout_labels_every_frame() -> None:
    script = _script(_stretch(CameraMotion.PAN_LEFT, -9, 9))
    assert script.labels(TIMES, SPACING).tolist() == [CameraMotion.PAN_LEFT] * 8


def test_a_motion_that_starts_inside_is_static_before() -> None:
    script = _script(_stretch(CameraMotion.TILT_UP, SPACING * 2.5, 9))
    assert script.labels(TIMES, SPACING).tolist() == [0, 0, 0, 3, 3, 3, 3, 3]


def test_two_motions_change_where_they_meet() -> None:
    change = SPACING * 4.5
    script = _script(_stretch(CameraMotion.PAN_RIGHT, -9, change), _stretch(CameraMotion.ZOOM_IN, change, 9))
    assert script.labels(TIMES, SPACING).tolist() == [2, 2, 2, 2, 2, 5, 5, 5]


def test_the_frame_of_the_change_is_ignored() -> None:
    script = _script(_stretch(CameraMotion.PAN_RIGHT, -9, SPACING * 4), _stretch(CameraMotion.ZOOM_IN, SPACING * 4, 9))
    assert script.labels(TIMES, SPACING)[4] == IGNORED


def test_a_motion_too_short_to_be_seen_is_not_asked_for() -> None:
    script = _script(_stretch(CameraMotion.PAN_RIGHT, SPAN - 0.5 * SPACING, 9))
    assert script.labels(TIMES, SPACING)[-1] == IGNORED


@pytest.mark.parametrize("motion", MOVING, ids=lambda motion: motion.text)
def test_speeds_can_be_seen_and_followed(motion: CameraMotion) -> None:
    rng = np.random.default_rng(1)
    speeds = [draw_speed(rng, motion, span_s=SPAN, spacing_s=SPACING, difficulty=1.0) for _ in range(200)]
    if motion is CameraMotion.HANDHELD_SHAKE:
        assert SHAKE_RMS[0] <= min(speeds) <= max(speeds) <= SHAKE_RMS[1]
        return
    axis = {"pan": "yaw", "til": "pitch", "zoo": "zoom", "rol": "roll"}[motion.text[:3]]
    assert min(speeds) * SPAN >= LIMITS[axis].per_clip * 0.999
    assert max(speeds) * SPACING <= LIMITS[axis].per_step * 1.001


def test_an_easy_script_is_neither_slow_nor_fast() -> None:
    def speeds(difficulty: float) -> list[float]:
        rng = np.random.default_rng(2)
        return [
            draw_speed(rng, CameraMotion.PAN_LEFT, span_s=SPAN, spacing_s=SPACING, difficulty=difficulty)
            for _ in range(200)
        ]

    assert min(speeds(0.0)) > 2 * min(speeds(1.0))
    assert max(speeds(0.0)) < 0.5 * max(speeds(1.0))


def test_a_camera_that_stands_moves_less_than_the_slowest_pan() -> None:
    for seed in range(50):
        script = draw_script(
            np.random.default_rng(seed), CameraMotion.STATIC, span_s=SPAN, spacing_s=SPACING, steady=True
        )
        path = script.path(TIMES)
        assert np.ptp(path.yaw) < LIMITS["yaw"].per_clip
        assert np.ptp(path.roll) < LIMITS["roll"].per_clip


@pytest.mark.parametrize("motion", CameraMotion, ids=lambda motion: motion.text)
def test_a_script_follows_from_its_seed(motion: CameraMotion) -> None:
    paths = [
        draw_script(np.random.default_rng(5), motion, span_s=SPAN, spacing_s=SPACING).path(TIMES) for _ in range(2)
    ]
    for name in ("yaw", "pitch", "zoom", "roll"):
        np.testing.assert_array_equal(getattr(paths[0], name), getattr(paths[1], name))


def test_stories_name_their_main_motion_in_most_frames() -> None:
    shares = []
    for seed in range(200):
        motion = CameraMotion(seed % 10)
        script = draw_script(np.random.default_rng(seed), motion, span_s=SPAN, spacing_s=SPACING)
        labels = script.labels(TIMES, SPACING)
        shares.append((labels == motion).mean())
    assert np.mean(shares) > 0.75
    assert np.mean(np.array(shares) < 0.4) < 0.05
