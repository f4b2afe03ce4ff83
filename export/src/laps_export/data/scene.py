"""What the camera looks at: a background plane, and objects before it that move on their own.

An object lives in the world, so the camera's motion moves it as well; where it is followed it stays put in the
frame while the background runs. It is on every class: a walking subject does not turn *static* into a pan.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from laps_export.data.arrays import Floats, Pixels
from laps_export.data.camera import Lens, frame_to_plane
from laps_export.data.motion_script import CameraPath
from laps_export.data.pyramid import Pyramid
from laps_export.data.textures import noise

_PATCH = 96  # side of an object's picture in pixels; objects cover a part of a small frame
_ALPHA_SHIFT = 8


@dataclass(frozen=True)
class Background:
    """A photograph on the world's plane.

    Attributes:
        pyramid: its pixels.
        x: where the path's origin lies, in pixels of the first level.
        y: likewise.
        scale: pixels of the first level for one unit of the plane.
    """

    pyramid: Pyramid
    x: float
    y: float
    scale: float


@dataclass(frozen=True)
class Actor:
    """An object with its picture and its way.

    Attributes:
        patch: RGB and coverage, uint8 `[s, s, 4]`.
        start: where it is at the clip's beginning, in short sides from the frame's centre.
        velocity: short sides a second, over the world, or over the frame where it is followed.
        size: its side in short sides.
        growth: of its size a second, log scale.
        bob: amplitude (short sides) and frequency (Hz) of its up and down.
        followed: how much of the camera's turning it takes part in, 1 where the camera follows it.
    """

    patch: Pixels
    start: tuple[float, float]
    velocity: tuple[float, float]
    size: float
    growth: float
    bob: tuple[float, float]
    followed: float


@dataclass(frozen=True)
class Scene:
    """A background and the actors before it, nearest last."""

    background: Background
    actors: tuple[Actor, ...]


def draw_background(rng: np.random.Generator, pyramid: Pyramid, *, focal: float, coverage: float) -> Background:
    """Put a photograph so that the frame's short side sees `coverage` of the photograph's, somewhere in it."""
    short = min(pyramid.width, pyramid.height)
    x, y = (
        side / 2 + rng.uniform(-0.5, 0.5) * max(side - coverage * short, 0.0)
        for side in (pyramid.width, pyramid.height)
    )
    return Background(pyramid, x, y, coverage * short * focal)


def draw_actors(
    rng: np.random.Generator, pictures: list[Pyramid], *, span_s: float, most: int = 3
) -> tuple[Actor, ...]:
    """No to `most` objects, cut from pictures."""
    count = int(rng.choice(most + 1, p=_counts(most)))
    return tuple(_draw_actor(rng, pictures[int(rng.integers(len(pictures)))], span_s) for _ in range(count))


def render(scene: Scene, path: CameraPath, *, times: Floats, lens: Lens, video_side: float) -> Pixels:
    """The frames at `[n]` moments: uint8 `[n, H, W, 3]`.

    Args:
        scene: what is there.
        path: where the camera points at these moments.
        times: the moments, which move the actors.
        lens: what is rendered.
        video_side: short side of the video that these frames are points of, in pixels.
    """
    to_plane = frame_to_plane(path, lens)  # [n, 3, 3]
    ground = scene.background
    full = ground.scale / (lens.focal * video_side)
    level = ground.pyramid.level_for(full)
    picture = ground.pyramid.levels[level]
    ratio_x, ratio_y = picture.shape[1] / ground.pyramid.width, picture.shape[0] / ground.pyramid.height
    to_picture = np.array(
        [
            [ground.scale * ratio_x, 0, ground.x * ratio_x - 0.5],
            [0, ground.scale * ratio_y, ground.y * ratio_y - 0.5],
            [0, 0, 1],
        ]
    )
    frames = np.empty((len(times), lens.height, lens.width, 3), dtype=np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (lens.width, lens.height)
    for frame, homography in zip(frames, to_picture @ to_plane, strict=True):
        cv2.warpPerspective(picture, homography, size, dst=frame, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    for actor in scene.actors:
        to_patch = _plane_to_patch(actor, path, times=times, lens=lens)  # [n, 3, 3]
        for frame, homography in zip(frames, to_patch @ to_plane, strict=True):
            layer = np.asarray(cv2.warpPerspective(actor.patch, homography, size, flags=flags), dtype=np.uint8)
            _blend(frame, layer)
    return frames


def visible_detail(frame: Pixels) -> float:
    """Share of a 5 x 5 grid of cells in which motion could be seen; 0 for a blank wall."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    slope = np.abs(cv2.Sobel(gray, cv2.CV_16S, 1, 0)) + np.abs(cv2.Sobel(gray, cv2.CV_16S, 0, 1))
    cells = cv2.resize(slope.astype(np.float32), (5, 5), interpolation=cv2.INTER_AREA)
    return float((cells > 14).mean())


def _counts(most: int) -> Floats:
    weights = np.array([0.45, 0.32, 0.15, 0.08][: most + 1])
    return np.asarray(weights / weights.sum())


def _draw_actor(rng: np.random.Generator, pyramid: Pyramid, span_s: float) -> Actor:
    speed = float(np.exp(rng.uniform(np.log(0.03), np.log(1.2))))
    direction = rng.uniform(0, 2 * np.pi)
    velocity = (speed * np.cos(direction), 0.5 * speed * np.sin(direction))
    middle = (rng.uniform(-0.45, 0.45), rng.uniform(-0.4, 0.45))
    # Seen in the middle of the clip, wherever it comes from.
    start = (middle[0] - velocity[0] * span_s / 2, middle[1] - velocity[1] * span_s / 2)
    kind = rng.random()
    followed = 0.0
    if kind < 0.25:
        followed, velocity, start = float(rng.uniform(0.8, 1.0)), (velocity[0] * 0.1, velocity[1] * 0.1), middle
    elif kind < 0.4:
        velocity, start = (0.0, 0.0), middle
    return Actor(
        patch=_cut_out(rng, pyramid),
        start=start,
        velocity=velocity,
        size=float(np.exp(rng.uniform(np.log(0.12), np.log(0.75)))),
        growth=float(rng.normal(0, 0.4)) if rng.random() < 0.3 else 0.0,
        bob=(float(rng.uniform(0, 0.03)), float(rng.uniform(1, 4))) if rng.random() < 0.4 else (0.0, 1.0),
        followed=followed,
    )


def _cut_out(rng: np.random.Generator, pyramid: Pyramid) -> Pixels:
    """A random shape cut from a picture: uint8 `[s, s, 4]`."""
    level = pyramid.levels[int(rng.integers(len(pyramid.levels)))]
    height, width = level.shape[:2]
    top, left = int(rng.integers(0, max(height - _PATCH, 1))), int(rng.integers(0, max(width - _PATCH, 1)))
    part = level[top : top + _PATCH, left : left + _PATCH]
    patch = np.empty((_PATCH, _PATCH, 4), dtype=np.uint8)
    patch[..., :3] = cv2.resize(part, (_PATCH, _PATCH)) if part.shape[:2] != (_PATCH, _PATCH) else part
    mask = np.zeros((_PATCH, _PATCH), dtype=np.uint8)
    middle = (_PATCH // 2, _PATCH // 2)
    kind = int(rng.integers(4))
    if kind == 0:
        axes = (int(_PATCH * rng.uniform(0.15, 0.46)), int(_PATCH * rng.uniform(0.25, 0.46)))
        cv2.ellipse(mask, middle, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    elif kind == 1:
        sides = (_PATCH * rng.uniform(0.25, 0.7), _PATCH * rng.uniform(0.25, 0.7))
        box = cv2.boxPoints((middle, sides, float(rng.uniform(0, 90)) if rng.random() < 0.4 else 0.0))
        cv2.fillPoly(mask, [box.astype(np.int32)], 255)
    elif kind == 2:
        # Someone who stands: a head, a body, two legs.
        wide = _PATCH * rng.uniform(0.1, 0.2)
        cv2.circle(mask, (middle[0], int(_PATCH * 0.14)), int(wide * 0.6), 255, -1)
        cv2.ellipse(mask, (middle[0], int(_PATCH * 0.42)), (int(wide), int(_PATCH * 0.24)), 0, 0, 360, 255, -1)
        for side in (-1, 1):
            foot = (int(middle[0] + side * wide * rng.uniform(0.2, 1.1)), int(_PATCH * 0.97))
            cv2.line(mask, (middle[0], int(_PATCH * 0.55)), foot, 255, max(3, int(wide * 0.6)))
    else:
        hill = noise(rng, size=_PATCH, octaves=4)
        axis = np.linspace(-1, 1, _PATCH)
        mask[hill - 3.0 * (axis[:, None] ** 2 + axis**2) > -1.2] = 255
    mask[0], mask[-1], mask[:, 0], mask[:, -1] = 0, 0, 0, 0
    patch[..., 3] = cv2.GaussianBlur(mask, (3, 3), 0)
    gain, shift = rng.uniform(0.6, 1.4), rng.uniform(-30, 30, 3)
    patch[..., :3] = np.clip(patch[..., :3] * gain + shift, 0, 255)
    return patch


def _plane_to_patch(actor: Actor, path: CameraPath, *, times: Floats, lens: Lens) -> Floats:
    """`[n, 3, 3]` from points of the world's plane to pixels of the actor's picture."""
    amplitude, frequency = actor.bob
    x = actor.start[0] + actor.velocity[0] * times
    y = actor.start[1] + actor.velocity[1] * times + amplitude * np.sin(2 * np.pi * frequency * times)
    # The point of the plane at which a camera that follows points, by as much as it follows.
    x = x / lens.focal + actor.followed * np.tan(path.yaw / lens.focal)
    y = y / lens.focal - actor.followed * np.tan(path.pitch / lens.focal)
    size = actor.size / lens.focal * np.exp(actor.growth * (times - times.mean()))
    matrices = np.zeros((len(times), 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = _PATCH / size
    matrices[:, 0, 2] = _PATCH / 2 - _PATCH * x / size - 0.5
    matrices[:, 1, 2] = _PATCH / 2 - _PATCH * y / size - 0.5
    matrices[:, 2, 2] = 1
    return matrices


def _blend(frame: Pixels, layer: Pixels) -> None:
    """Lay `[H, W, 4]` over `[H, W, 3]`, in place."""
    cover = layer[..., 3]
    x, y, width, height = cv2.boundingRect(cover)
    if width == 0:
        return
    below = frame[y : y + height, x : x + width]
    above = layer[y : y + height, x : x + width]
    share = above[..., 3:].astype(np.int16)
    below[:] = below + (((above[..., :3].astype(np.int16) - below) * share) >> _ALPHA_SHIFT)
