"""Clips by seed: a script, a camera, a scene and its flaws become pixels and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laps_export.data.arrays import Pixels
from laps_export.data.camera import Lens, focal_for
from laps_export.data.camera_motion import CameraMotion
from laps_export.data.clip_settings import ClipSettings
from laps_export.data.codec import compress, draw_codec
from laps_export.data.crop import resize_and_crop
from laps_export.data.degrade import Degrader
from laps_export.data.motion_script import MotionScript, draw_script
from laps_export.data.photographs import Collection, Split
from laps_export.data.pyramid import Pyramid, build_pyramid, load_pyramid
from laps_export.data.scene import Scene, draw_actors, draw_background, render, visible_detail
from laps_export.data.textures import draw_texture
from laps_export.data.timing import Timing, draw_timing

_ASPECTS = (16 / 9, 4 / 3, 3 / 2, 1.0, 2.39, 1.85, 9 / 16, 3 / 4)
_ASPECT_WEIGHTS = (0.55, 0.14, 0.05, 0.04, 0.05, 0.05, 0.08, 0.04)
_LEAST_DETAIL = 0.5
_TRIES = 8
_SHUTTER_STEPS = 4


@dataclass(frozen=True)
class Clip:
    """One training example.

    Attributes:
        frames: uint8 `[T, N, N, 3]` RGB.
        frame_labels: int64 `[T]`, IGNORED where no answer is fair.
        label: of the whole clip.
        travel: of the main motion over the clip: short sides, log scale or radians; a shake's rms.
        codec: which compression it went through; empty for none.
    """

    frames: Pixels
    frame_labels: NDArray[np.int64]
    label: CameraMotion
    travel: float
    codec: str


@dataclass(frozen=True)
class PicturePool:
    """The pictures that clips of one split are made of."""

    photographs: tuple[Pyramid, ...]
    textures: tuple[Pyramid, ...]

    def draw(self, rng: np.random.Generator, texture_share: float) -> Pyramid:
        """One of them."""
        pictures = self.textures if self.textures and rng.random() < texture_share else self.photographs
        return pictures[int(rng.integers(len(pictures)))]


def load_pool(
    collection: Collection, split: Split, *, cache: Path | None = None, textures: int = 24, seed: int = 0
) -> PicturePool:
    """Load a split's photographs and draw textures beside them."""
    rng = np.random.default_rng([seed, 7, list(Split).index(split)])
    return PicturePool(
        photographs=tuple(load_pyramid(photo, cache=cache) for photo in collection.of(split)),
        textures=tuple(build_pyramid(draw_texture(rng)) for _ in range(textures)),
    )


class ClipMaker:
    """Makes clips from one pool; the same seed gives the same clip."""

    def __init__(self, pool: PicturePool, settings: ClipSettings) -> None:
        self.pool = pool
        self.settings = settings
        self._degrader = Degrader()

    def make(
        self, seed: int | Sequence[int], *, motion: CameraMotion | None = None, difficulty: float | None = None
    ) -> Clip:
        """One clip; `motion` and `difficulty` where given replace the draw and the settings."""
        rng = np.random.default_rng(seed)
        settings = self.settings
        if motion is None:
            motion = CameraMotion(int(rng.integers(len(CameraMotion))))
        hard = settings.difficulty if difficulty is None else difficulty
        # What a curriculum begins with shows motion and nothing else.
        plain = rng.random() >= hard
        timing = draw_timing(rng, frames=settings.frames, stride=settings.stride)
        script = draw_script(
            rng,
            motion,
            span_s=max(timing.span_s, timing.spacing_s),
            spacing_s=timing.spacing_s,
            difficulty=hard,
            steady=settings.steady,
        )
        aspect = float(rng.choice(_ASPECTS, p=_ASPECT_WEIGHTS))
        side = int(rng.choice((-1, 1))) if rng.random() < settings.side_crop_share else 0
        focal = focal_for(script.path(timing.times_s), float(np.exp(rng.uniform(np.log(0.7), np.log(4)))))
        lens = _lens(rng, size=settings.size, aspect=aspect, side=side, focal=focal)
        scene = self._scene(rng, script=script, timing=timing, lens=lens, actors=not plain)
        if plain:
            path, codec = script.path(timing.times_s), ""
            frames = render(scene, path, times=timing.times_s, lens=lens, video_side=2 * settings.size)
        elif rng.random() < settings.coded_share:
            frames, codec = self._coded(rng, scene, script=script, timing=timing, lens=lens, aspect=aspect, side=side)
        else:
            frames, codec = self._direct(rng, scene, script=script, timing=timing, lens=lens), ""
        if not plain:
            frames = self._degrader.screen(frames, rng)
        if not plain and not codec and rng.random() < 0.15:
            frames = self._degrader.weak_codec(frames, rng)
        labels = script.labels(timing.times_s, timing.spacing_s)
        return Clip(
            frames=frames,
            frame_labels=labels,
            label=_clip_label(labels, motion),
            travel=_travel(script, motion),
            codec=codec,
        )

    def _scene(
        self, rng: np.random.Generator, *, script: MotionScript, timing: Timing, lens: Lens, actors: bool
    ) -> Scene:
        """A background with enough to see at both ends of the clip, and actors before it."""
        ends = np.array([timing.times_s.min(), timing.times_s.max()])
        path = script.path(ends)
        for _ in range(_TRIES):
            pyramid = self.pool.draw(rng, self.settings.texture_share)
            least = 0.35 if min(pyramid.width, pyramid.height) > 600 else 0.6
            background = draw_background(rng, pyramid, focal=lens.focal, coverage=rng.uniform(least, 1.0))
            looks = render(Scene(background, ()), path, times=ends, lens=lens, video_side=lens.short_side)
            if min(visible_detail(frame) for frame in looks) >= _LEAST_DETAIL:
                break
        if not actors:
            return Scene(background, ())
        pictures = [*self.pool.photographs, *self.pool.textures]
        return Scene(background, draw_actors(rng, pictures, span_s=timing.span_s))

    def _direct(
        self, rng: np.random.Generator, scene: Scene, *, script: MotionScript, timing: Timing, lens: Lens
    ) -> Pixels:
        """Only the pixels that the network sees: uint8 `[T, N, N, 3]`."""
        video_side = float(np.exp(rng.uniform(np.log(128), np.log(900))))
        shutter = rng.uniform(0.2, 0.9) / timing.rate
        fastest = max((stretch.speed for stretch in script.stretches), default=0.0)
        if rng.random() < 0.5 and fastest * shutter * lens.short_side > 0.7:
            moments = (timing.times_s[:, None] + np.linspace(0, shutter, _SHUTTER_STEPS)).ravel()
            many = render(scene, script.path(moments), times=moments, lens=lens, video_side=video_side)
            many = many.reshape(len(timing.times_s), _SHUTTER_STEPS, *many.shape[1:])
            frames = many.astype(np.uint16).sum(axis=1) // _SHUTTER_STEPS
            return self._degrader.lens_and_light(frames.astype(np.uint8), rng)
        path = script.path(timing.times_s)
        frames = render(scene, path, times=timing.times_s, lens=lens, video_side=video_side)
        return self._degrader.lens_and_light(frames, rng)

    def _coded(
        self,
        rng: np.random.Generator,
        scene: Scene,
        *,
        script: MotionScript,
        timing: Timing,
        lens: Lens,
        aspect: float,
        side: int,
    ) -> tuple[Pixels, str]:
        """Whole frames of a small video through a codec, then resized and cropped as a server does.

        One more frame between every two keeps the motion that the encoder sees ordinary.
        """
        short = 2 * round(float(np.exp(rng.uniform(np.log(120), np.log(300)))) / 2)
        aspect = min(max(aspect, 9 / 16), 16 / 9)
        width, height = 2 * round(short * max(aspect, 1.0) / 2), 2 * round(short * max(1 / aspect, 1.0) / 2)
        shown = np.unique(timing.times_s)
        moments = np.sort(np.concatenate([shown, 0.5 * (shown[1:] + shown[:-1])]))
        whole = lens.scaled(short / lens.short_side, width=width, height=height)
        frames = render(scene, script.path(moments), times=moments, lens=whole, video_side=short)
        frames = self._degrader.lens_and_light(frames, rng)
        codec = draw_codec(rng)
        rate = min(max((len(moments) - 1) / max(timing.span_s, 0.05), 5.0), 60.0)
        frames = compress(frames, codec, rate=rate, quality=float(rng.random()))
        taken = frames[np.searchsorted(moments, timing.times_s)]
        return np.stack([resize_and_crop(frame, self.settings.size, side) for frame in taken]), codec.name


def _lens(rng: np.random.Generator, *, size: int, aspect: float, side: int, focal: float) -> Lens:
    """The square that is cut from a frame of this aspect: its middle, or one end of it."""
    long = size * max(aspect, 1 / aspect)
    shift = -side * (long - size) / 2
    stretch = float(rng.choice((0.75, 0.9, 1.07, 1.33))) if rng.random() < 0.12 else 1.0
    return Lens(
        width=size,
        height=size,
        short_side=float(size),
        focal=focal,
        centre_x=size / 2 + (shift if aspect >= 1 else 0.0),
        centre_y=size / 2 + (shift if aspect < 1 else 0.0),
        stretch=stretch,
    )


def _clip_label(labels: NDArray[np.int64], motion: CameraMotion) -> CameraMotion:
    """What most frames show; the main motion where that is open."""
    counts = np.bincount(labels[labels >= 0], minlength=len(CameraMotion))
    return motion if counts[motion] == counts.max() else CameraMotion(int(counts.argmax()))


def _travel(script: MotionScript, motion: CameraMotion) -> float:
    for stretch in script.stretches:
        if stretch.motion is motion:
            seen = min(stretch.end_s, script.span_s) - max(stretch.start_s, 0.0)
            return stretch.speed if motion is CameraMotion.HANDHELD_SHAKE else stretch.speed * seen
    return 0.0


def fixed_set(maker: ClipMaker, *, count: int, seed: int) -> Iterator[Clip]:
    """`count` clips, every motion equally often, the same for the same seed."""
    for number in range(count):
        yield maker.make([seed, 11, number], motion=CameraMotion(number % len(CameraMotion)))
