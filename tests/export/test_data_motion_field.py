"""The teachers' numbers against optical flow on the rendered clips."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from laps_export.data.camera import Lens
from laps_export.data.clips import Clip, ClipMaker, ClipSettings
from laps_export.data.labels import CameraMotion
from laps_export.data.motion import AXIS_NAMES, Path
from laps_export.data.motion_field import TOKEN_PIXELS, background_flow, camera_speed, compress
from laps_export.data.pyramid import Picture
from laps_export.data.symmetry import Symmetry
from support_world import small_world

SIZE = 112
DIRECTED = [motion for motion in CameraMotion if motion not in (CameraMotion.STATIC, CameraMotion.HANDHELD_SHAKE)]
SYMMETRIES = {
    "as it is": Symmetry(),
    "mirror": Symmetry(mirror=True),
    "upturn": Symmetry(upturn=True),
    "transpose": Symmetry(transpose=True),
    "reverse": Symmetry(reverse=True),
    "all": Symmetry(mirror=True, upturn=True, transpose=True, reverse=True),
}
SIGNS = {
    CameraMotion.PAN_LEFT: ("yaw", -1),
    CameraMotion.PAN_RIGHT: ("yaw", 1),
    CameraMotion.TILT_UP: ("pitch", 1),
    CameraMotion.TILT_DOWN: ("pitch", -1),
    CameraMotion.ZOOM_IN: ("zoom", 1),
    CameraMotion.ZOOM_OUT: ("zoom", -1),
    CameraMotion.ROLL_CLOCKWISE: ("roll", 1),
    CameraMotion.ROLL_COUNTERCLOCKWISE: ("roll", -1),
}


def _clip(motion: CameraMotion) -> Clip:
    """A clip whose motion optical flow can follow."""
    maker = ClipMaker(
        small_world(), ClipSettings(coded_share=0, side_crop_share=0, difficulty=0, steady=True, texture_share=0)
    )
    for seed in range(200):
        clip = maker.make([seed], motion=motion)
        if clip.travel < 0.25:
            return clip
    raise AssertionError("no slow clip in two hundred")


def _optical_flow(frames: Picture) -> NDArray[np.float64]:
    """Median over time of the displacement at every token: `[G, G, 2]` in short sides."""
    grays = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    side = SIZE // TOKEN_PIXELS
    flows = []
    for one, other in pairwise(grays):
        flow = cv2.calcOpticalFlowFarneback(one, other, None, 0.5, 4, 21, 5, 7, 1.5, 0)  # type: ignore[call-overload]
        flows.append(flow.reshape(side, TOKEN_PIXELS, side, TOKEN_PIXELS, 2).mean(axis=(1, 3)) / SIZE)
    return np.asarray(np.median(flows, axis=0))


@pytest.mark.parametrize("name", SYMMETRIES)
@pytest.mark.parametrize("motion", DIRECTED, ids=lambda motion: motion.text)
def test_flow_is_what_optical_flow_sees(motion: CameraMotion, name: str) -> None:
    clip, symmetry = _clip(motion), SYMMETRIES[name]
    seen = compress(_optical_flow(symmetry.frames(clip.frames))).ravel()
    told = np.median(symmetry.flow(clip.flow), axis=0).ravel()
    assert np.corrcoef(seen, told)[0, 1] > 0.5


@pytest.mark.parametrize("name", SYMMETRIES)
@pytest.mark.parametrize("motion", DIRECTED, ids=lambda motion: motion.text)
def test_speed_has_the_sign_of_the_label(motion: CameraMotion, name: str) -> None:
    clip, symmetry = _clip(motion), SYMMETRIES[name]
    axis, sign = SIGNS[CameraMotion(int(symmetry.relabel[motion]))]
    speeds = np.median(symmetry.speed(clip.speed), axis=0)
    main = AXIS_NAMES.index(axis)
    assert speeds[main] * sign > 0
    assert np.abs(speeds).argmax() == main


def test_a_camera_that_stands_gives_no_flow() -> None:
    still = Path(yaw=np.zeros(8), pitch=np.zeros(8), zoom=np.zeros(8), roll=np.zeros(8))
    lens = Lens(SIZE, SIZE, float(SIZE), 1.5, SIZE / 2, SIZE / 2)
    assert np.abs(background_flow(still, lens)).max() < 1e-5
    assert background_flow(still, lens).shape == (8, 7, 7, 2)
    assert camera_speed(still).shape == (8, 4)
