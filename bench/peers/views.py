"""What a user writes beside any serving framework: from a file's bytes to clips, and from logits to a label.

All peers share it, so that they differ in how they serve and in nothing else. It runs in their environments and knows
nothing of the server but the manifest's numbers; its sampling holds for videos of a steady rate, which are all that a
benchmark sends. What it comes to is compared with the server's answer before anything is timed.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from av.video.frame import VideoFrame

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating[Any]]
STEADY_RATE = 25


@dataclass(frozen=True)
class Recipe:
    """The numbers of a model's manifest that its clips and its scores need."""

    graph: Path
    labels: tuple[str, ...]
    sampling: str
    frames: int
    stride: int
    size: int
    short_side: int
    clips: int
    crops: int
    temperature: float
    average: str

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """Of a version's folder in a model repository."""
        manifest = json.loads((folder / "laps.json").read_text())
        clip, preprocess = manifest["inputs"][0], manifest["preprocess"]
        clips, crops = map(int, manifest["default_views"].split("x"))
        return cls(
            graph=folder / "model.onnx",
            labels=tuple((folder.parent / "labels.txt").read_text().splitlines()),
            sampling=manifest["sampling"],
            frames=clip["frames"],
            stride=clip["stride"],
            size=clip["height"],
            short_side=preprocess["short_side"],
            clips=clips,
            crops=crops,
            temperature=manifest["temperature"],
            average=manifest.get("average", "logits"),
        )

    def frame_numbers(self, count: int) -> npt.NDArray[np.intp]:
        """``[clips, T]`` frame numbers in a video of ``count`` frames, 25 a second and longer than a clip."""
        spare, views, steps = count - self.frames * self.stride, range(self.clips), np.arange(self.frames)
        if self.sampling == "laps_uniform":
            steps = np.linspace(0, self.frames * self.stride - 1, self.frames).astype(int)
            starts = [math.ceil(spare * view / self.clips) for view in views]
        elif self.sampling == "uniform_in_order":
            length, gaps = self.frames * self.stride, self.clips - 1
            places = [
                [
                    (view * spare * (self.frames - 1) + i * (length - 1) * gaps) // (gaps * (self.frames - 1))
                    for i in steps
                ]
                for view in views
            ]
            return np.array(places, np.intp)
        else:  # steady_25
            steps = steps * self.stride
            starts = [view * spare // (self.clips - 1) for view in views]
        return np.array([[start + step for step in steps] for start in starts], np.intp)


def needed_frames(video: bytes, recipe: Recipe) -> tuple[dict[int, UInt8Array], npt.NDArray[np.intp]]:
    """RGB of the frames that the clips use, by number: all are decoded up to the last of them, these are converted."""
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        numbers = recipe.frame_numbers(stream.frames)
        wanted, last = set(numbers.flat), numbers.max()
        frames = {}
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                frames[number] = _rgb(frame)
            if number == last:
                break
    return frames, numbers


def every_frame(video: bytes, recipe: Recipe) -> tuple[dict[int, UInt8Array], npt.NDArray[np.intp]]:
    """RGB of all frames of the video, by number."""
    with av.open(io.BytesIO(video), "r") as container:
        container.streams.video[0].thread_type = "AUTO"
        frames = dict(enumerate(map(_rgb, container.decode(video=0))))
    return frames, recipe.frame_numbers(len(frames))


def clips_of(frames: dict[int, UInt8Array], numbers: npt.NDArray[np.intp], recipe: Recipe) -> UInt8Array:
    """``[clips * crops, T, H, W, 3]``: resized once, cut from left to right."""
    resized = {number: _resize(frames[number], recipe.short_side) for number in set(numbers.ravel().tolist())}
    views = []
    for clip in numbers:
        stack = np.stack([resized[number] for number in clip])  # [T, h, w, 3]
        down, across = stack.shape[1] - recipe.size, stack.shape[2] - recipe.size
        middle = [((down + 1) // 2, (across + 1) // 2)]
        places = middle if recipe.crops == 1 else [((down + 1) // 2, 0), *middle, ((down + 1) // 2, across)]
        views += [stack[:, y : y + recipe.size, x : x + recipe.size] for y, x in places]
    return np.stack(views)


def _rgb(frame: VideoFrame) -> UInt8Array:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _resize(frame: UInt8Array, short_side: int) -> UInt8Array:
    height, width = frame.shape[:2]
    if min(height, width) == short_side:
        return frame
    scale = short_side / min(height, width)
    size = (int(width * scale), short_side) if width > height else (short_side, int(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def open_session(recipe: Recipe, threads: int) -> ort.InferenceSession:
    """A session that does not spin while it waits: at its best in processor seconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(recipe.graph), options, providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, clips: UInt8Array, batch: int) -> FloatArray:
    """Logits ``[V, R, K]`` of ``[V, T, H, W, 3]``, ``batch`` views at a time."""
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    parts = [session.run([output], {name: clips[at : at + batch]})[0] for at in range(0, len(clips), batch)]
    return np.concatenate(parts)


def answer(logits: FloatArray, recipe: Recipe) -> dict[str, Any]:
    """The best label of a video's views ``[V, R, K]``, and its score."""
    rows = logits.mean(axis=1)  # [V, K]
    if recipe.average == "logits":
        rows = rows.mean(axis=0, keepdims=True)
    scaled = rows / recipe.temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    scores = (exponentials / exponentials.sum(axis=1, keepdims=True)).mean(axis=0)  # [K]
    best = int(scores.argmax())
    return {"label": recipe.labels[best], "score": float(scores[best])}


def arguments() -> argparse.Namespace:
    """The command line that every peer has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True, help="a version's folder of a model repository")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1, help="processes that run the model")
    parser.add_argument("--threads", type=int, default=1, help="of each of them")
    parser.add_argument("--batch", type=int, default=1, help="views in one run")
    return parser.parse_args()
