"""A script of camera motion: a smooth path over time, and what a fair judge would call each frame.

A script is one to three stretches, each a motion with a speed and eased ends. The path is the sum of what the
stretches do, plus what no camera is free of: small jitter, and a little of the other motions. Lengths are in
short sides of the frame, so that a speed means the same at every resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laps_export.data.arrays import Floats
from laps_export.data.camera_motion import IGNORED, CameraMotion

_GRID = 384  # points of the time grid on which speeds are summed to paths
_ACTIVE, _IDLE = 0.5, 0.06  # share of full speed above which a frame shows a motion, below which it does not
_FEWEST_STEPS = 0.9  # sampled frames that a stretch must cover before it is asked for

# What each motion moves, and which way: an axis of the path and its sign.
_AXES: dict[CameraMotion, tuple[str, float]] = {
    CameraMotion.PAN_LEFT: ("yaw", -1.0),
    CameraMotion.PAN_RIGHT: ("yaw", 1.0),
    CameraMotion.TILT_UP: ("pitch", 1.0),
    CameraMotion.TILT_DOWN: ("pitch", -1.0),
    CameraMotion.ZOOM_IN: ("zoom", 1.0),
    CameraMotion.ZOOM_OUT: ("zoom", -1.0),
    CameraMotion.ROLL_CLOCKWISE: ("roll", 1.0),
    CameraMotion.ROLL_COUNTERCLOCKWISE: ("roll", -1.0),
}
AXIS_NAMES = ("yaw", "pitch", "zoom", "roll")


@dataclass(frozen=True)
class SpeedLimits:
    """What a motion of one axis may do; for yaw and pitch in short sides, zoom in log scale, roll in radians.

    Attributes:
        per_second: slowest and fastest.
        per_clip: least over a whole clip, so that it can be seen at all.
        per_step: most from one sampled frame to the next, so that it can still be followed.
        in_clip: most over a whole clip.
    """

    per_second: tuple[float, float]
    per_clip: float
    per_step: float
    in_clip: float


LIMITS = {
    "yaw": SpeedLimits((0.012, 3.0), 0.012, 0.5, 3.0),
    "pitch": SpeedLimits((0.012, 3.0), 0.012, 0.5, 3.0),
    "zoom": SpeedLimits((0.022, 2.0), 0.022, 0.3, 1.4),
    "roll": SpeedLimits((0.022, 3.0), 0.022, 0.6, 3.0),
}
# Where a curriculum starts: the least over a clip, and the most from frame to frame as a share of the limit. What
# moves a few pixels a step is learned first; both the slow and the fast are found from there.
_EASY_PER_CLIP = 0.12
_EASY_OF_STEP = 0.3
SHAKE_RMS = (0.009, 0.06)  # of a handheld shake, short sides
_JITTER_RMS = (0.0002, 0.0024)  # of every other clip
_JITTER_OF_TRAVEL = 0.12  # a moving camera may shake more, by its travel over the clip


@dataclass(frozen=True)
class CameraPath:
    """Where the camera points at n moments: yaw, pitch (short sides), zoom (log), roll (radians), `[n]` each."""

    yaw: Floats
    pitch: Floats
    zoom: Floats
    roll: Floats


@dataclass(frozen=True)
class MotionStretch:
    """One motion from `start_s` to `end_s`.

    Attributes:
        motion: what it is called.
        start_s: where half of the speed is reached; before the clip where the motion is under way already.
        end_s: where half of the speed is lost.
        ease_s: how long starting and ending take.
        speed: of full motion, a second, positive; of a shake its rms.
    """

    motion: CameraMotion
    start_s: float
    end_s: float
    ease_s: float
    speed: float

    def share(self, times: Floats) -> Floats:
        """`[n]` share of the full speed, 0 to 1."""
        rise = _smooth((times - self.start_s) / self.ease_s + 0.5)
        return rise * _smooth((self.end_s - times) / self.ease_s + 0.5)


class Jitter:
    """Band-limited noise on yaw, pitch and roll: a few sines of random frequency and phase."""

    def __init__(self, rng: np.random.Generator, *, rms: float, band_hz: tuple[float, float], waves: int) -> None:
        low, high = np.log(band_hz)
        self.frequencies = np.exp(rng.uniform(low, high, (3, waves)))  # [axis, wave]
        self.phases = rng.uniform(0, 2 * np.pi, (3, waves))
        weights = rng.uniform(0.3, 1.0, (3, waves)) / self.frequencies ** rng.uniform(0.2, 1.0)
        weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True) / 2)
        # Hands rarely shake equally in both directions, and twist less than they turn.
        self.weights = weights * rms * np.array([[rng.uniform(0.6, 1.2)], [rng.uniform(0.6, 1.2)], [0.0]])
        self.weights[2] = weights[2] * rms * rng.uniform(0.0, 0.6)

    def at(self, times: Floats) -> Floats:
        """`[3, n]` offsets of yaw, pitch (short sides) and roll (radians)."""
        angles = 2 * np.pi * self.frequencies[..., None] * times + self.phases[..., None]  # [3, wave, n]
        offsets: Floats = (self.weights[..., None] * np.sin(angles)).sum(axis=1)
        return offsets


@dataclass(frozen=True)
class MotionScript:
    """All that the camera does in one clip.

    Attributes:
        stretches: in order of time; nothing where the camera stands still throughout.
        drift: slow motion of every axis besides, a second; small against the stretches'.
        jitter: the jitter that every clip has.
        shakes: one noise for each stretch that is a shake, None for the others.
        swing: depth, frequency in Hz and phase of the speed's own variation.
        span_s: the clip's length.
    """

    stretches: tuple[MotionStretch, ...]
    drift: dict[str, float]
    jitter: Jitter
    shakes: tuple[Jitter | None, ...]
    swing: tuple[float, float, float]
    span_s: float

    def path(self, times: Floats) -> CameraPath:
        """Where the camera points at `[n]` moments; the middle of the clip is the origin."""
        grid = np.linspace(-0.02, self.span_s + 0.02, _GRID)
        depth, frequency, phase = self.swing
        variation = 1 + depth * np.sin(2 * np.pi * frequency * grid + phase)
        speeds = {name: np.full(_GRID, self.drift.get(name, 0.0)) for name in AXIS_NAMES}
        offsets = self.jitter.at(times)  # [3, n]
        for stretch, shake in zip(self.stretches, self.shakes, strict=True):
            if shake is not None:
                offsets = offsets + stretch.share(times) * shake.at(times)
            elif stretch.motion in _AXES:
                name, sign = _AXES[stretch.motion]
                speeds[name] = speeds[name] + sign * stretch.speed * stretch.share(grid) * variation
        travelled = {name: _integral(speed, grid, times) for name, speed in speeds.items()}
        return CameraPath(
            yaw=travelled["yaw"] + offsets[0],
            pitch=travelled["pitch"] + offsets[1],
            zoom=travelled["zoom"],
            roll=travelled["roll"] + offsets[2],
        )

    def labels(self, times: Floats, spacing_s: float) -> NDArray[np.int64]:
        """`[n]` label of each moment, IGNORED where two answers would be right.

        Args:
            times: the sampled moments.
            spacing_s: distance of sampled frames; what is shorter than that cannot be seen.
        """
        shares = np.array([stretch.share(times) for stretch in self.stretches]).reshape(-1, len(times))  # [S, n]
        moving = np.array([stretch.motion is not CameraMotion.STATIC for stretch in self.stretches], dtype=bool)
        labels = np.full(len(times), IGNORED, dtype=np.int64)
        idle = (shares[moving] < _IDLE).all(axis=0)
        labels[idle] = CameraMotion.STATIC
        for index, stretch in enumerate(self.stretches):
            if not moving[index]:
                continue
            seen = min(stretch.end_s, self.span_s) - max(stretch.start_s, 0.0)
            others = np.delete(shares, index, axis=0)[np.delete(moving, index)]
            active = (shares[index] > _ACTIVE) & (others < _IDLE).all(axis=0)
            if seen >= _FEWEST_STEPS * spacing_s:
                labels[active] = stretch.motion
        for stretch in self.stretches:
            for change in (stretch.start_s, stretch.end_s):
                if 0 < change < self.span_s:
                    labels[np.abs(times - change) < 0.3 * spacing_s] = IGNORED
        return labels


def draw_script(
    rng: np.random.Generator,
    motion: CameraMotion,
    *,
    span_s: float,
    spacing_s: float,
    difficulty: float = 1.0,
    steady: bool = False,
) -> MotionScript:
    """A script whose main motion is `motion`.

    Args:
        rng: decides everything else.
        motion: what most frames show.
        span_s: the clip's length.
        spacing_s: distance of its frames.
        difficulty: 0 leaves out the slow and the changing, 1 is everything.
        steady: one motion throughout.
    """
    stretches = _draw_stretches(rng, motion, span_s=span_s, spacing_s=spacing_s, difficulty=difficulty, steady=steady)
    speeds = [stretch.speed for stretch in stretches if stretch.motion in _AXES]
    strength = min(speeds, default=0.0)
    shaking = any(stretch.motion is CameraMotion.HANDHELD_SHAKE for stretch in stretches)
    if shaking:
        rms = min(stretch.speed for stretch in stretches if stretch.motion is CameraMotion.HANDHELD_SHAKE)
        strength = min([*speeds, 0.8 * rms / max(span_s, 0.3)])
    drift = (
        {name: rng.uniform(-0.2, 0.2) * difficulty * strength for name in AXIS_NAMES}
        if strength
        else _standing(rng, span_s)
    )
    still = any(stretch.motion is CameraMotion.STATIC for stretch in stretches)
    if still and strength:
        drift = _standing(rng, span_s)
    most = _JITTER_RMS[1]
    if speeds and not still:
        most = max(most, min(_JITTER_OF_TRAVEL * min(speeds) * span_s, 0.6 * SHAKE_RMS[0]))
    rms = float(np.exp(rng.uniform(np.log(_JITTER_RMS[0]), np.log(most))))
    return MotionScript(
        stretches=stretches,
        drift=drift,
        jitter=Jitter(rng, rms=rms, band_hz=(1.0, 10.0), waves=4),
        shakes=tuple(_shake(rng, stretch, span_s) for stretch in stretches),
        swing=(rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0, rng.uniform(0.3, 2.0), rng.uniform(0, 2 * np.pi)),
        span_s=span_s,
    )


def draw_speed(
    rng: np.random.Generator, motion: CameraMotion, *, span_s: float, spacing_s: float, difficulty: float
) -> float:
    """A speed that can be seen and followed, evenly spread over orders of magnitude."""
    if motion is CameraMotion.HANDHELD_SHAKE:
        low, high = SHAKE_RMS
        low = low if difficulty >= 1 else low * 2 ** (1 - difficulty)
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if motion is CameraMotion.STATIC:
        return 0.0
    limits = LIMITS[_AXES[motion][0]]
    visible = limits.per_clip * (_EASY_PER_CLIP / limits.per_clip) ** (1 - difficulty)
    low = max(limits.per_second[0], visible / span_s)
    step = limits.per_step * _EASY_OF_STEP ** (1 - difficulty)
    high = max(min(limits.per_second[1], step / spacing_s, limits.in_clip / span_s), 1.5 * low)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _draw_stretches(
    rng: np.random.Generator,
    motion: CameraMotion,
    *,
    span_s: float,
    spacing_s: float,
    difficulty: float,
    steady: bool,
) -> tuple[MotionStretch, ...]:
    def stretch(what: CameraMotion, start: float, end: float) -> MotionStretch:
        # Seen for a part of the clip only, a motion has to be that much faster.
        seen = max(min(end, span_s) - max(start, 0.0), spacing_s)
        ease = float(rng.uniform(0.02, 0.12) if rng.random() < 0.5 else rng.uniform(0.1, 0.5)) * min(1.0, 2 * seen)
        speed = draw_speed(rng, what, span_s=seen, spacing_s=spacing_s, difficulty=difficulty)
        return MotionStretch(what, start, end, max(ease, 0.01), speed)

    before, after = -10.0, span_s + 10.0
    kind = rng.random()
    if steady or kind < 1 - 0.42 * difficulty:
        return (stretch(motion, before, after),)
    # The main motion keeps more than half of the clip.
    change = float(rng.uniform(0.08, 0.45)) * span_s
    if kind > 0.82:
        others = [other for other in CameraMotion if other is not motion]
        other = CameraMotion(others[int(rng.integers(len(others)))])
    else:
        other = CameraMotion.STATIC
        if motion is CameraMotion.STATIC:
            other = CameraMotion(int(rng.integers(1, len(CameraMotion))))
    if rng.random() < 0.5:
        return (stretch(other, before, change), stretch(motion, change, after))
    return (stretch(motion, before, span_s - change), stretch(other, span_s - change, after))


def _standing(rng: np.random.Generator, span_s: float) -> dict[str, float]:
    """What a tripod still does: over the clip a tenth of the least visible motion."""
    return {name: rng.uniform(-0.0015, 0.0015) / max(span_s, 0.3) for name in AXIS_NAMES}


def _shake(rng: np.random.Generator, stretch: MotionStretch, span_s: float) -> Jitter | None:
    if stretch.motion is not CameraMotion.HANDHELD_SHAKE:
        return None
    # Slower than a swing in the clip it would be a pan.
    slowest = max(1.3, 1.0 / max(span_s, 0.3))
    return Jitter(rng, rms=stretch.speed, band_hz=(slowest, 8.0), waves=int(rng.integers(2, 7)))


def _smooth(x: Floats) -> Floats:
    """0 below 0, 1 above 1, and smooth between."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def _integral(speed: Floats, grid: Floats, times: Floats) -> Floats:
    """Distance travelled at `times`, zero in the middle of the range."""
    steps = 0.5 * (speed[1:] + speed[:-1]) * np.diff(grid)
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    distance: Floats = np.interp(times, grid, travelled)
    centred: Floats = distance - 0.5 * (distance.max() + distance.min())
    return centred
