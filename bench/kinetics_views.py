"""What i3d-kinetics400 answers on real videos, by views and stride: the tables of docs/model-i3d.md.

python -m bench.kinetics_views video.mp4 more.mp4

Videos are decoded and sampled by the server's own code, five clips each. One clip is the middle one of the five, and
three are every other one, as the rule steady_25 places them; so one run of the graph a clip answers for all three.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip
from laps_server.view_grid import ViewGrid

STRIDES = (1, 2)
GRIDS = {"1x1": [2], "3x1": [0, 2, 4], "5x1": [0, 1, 2, 3, 4]}
_CLIPS = 5


@dataclass(frozen=True)
class Answered:
    """One video at one stride.

    Attributes:
        logits: ``[5, S, K]``.
        moments_s: ``[5, T]``, seconds of the clips' frames.
        cpu_s: processor seconds of the graph, a clip.
    """

    logits: Float32Array
    moments_s: list[list[float]]
    cpu_s: float


class Network:
    """The entry's graph and what its manifest says."""

    def __init__(self, folder: Path) -> None:
        self.manifest = json.loads((folder / "1" / "laps.json").read_bytes())
        self.labels = (folder / "labels.txt").read_text().splitlines()
        self._session = ort.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])

    def answer(self, video: Path, *, stride: int) -> Answered:
        """Five clips of a video."""
        clip, preprocess = self.manifest["inputs"][0], self.manifest["preprocess"]
        options = ExtractOptions(
            grid=ViewGrid(_CLIPS, 1),
            frames=clip["frames"],
            stride=stride,
            short_side=preprocess["short_side"],
            crop_height=preprocess["crop_height"],
            crop_width=preprocess["crop_width"],
            sampling=self.manifest["sampling"],
        )
        logits, moments, spent = [], [], 0.0
        for pixels, seconds in _clips(video, options):
            began = time.process_time()
            logits.append(self._session.run(["frame_logits"], {"clips": pixels[None]})[0][0])
            spent += time.process_time() - began
            moments.append(seconds)
        return Answered(np.stack(logits), moments, spent / _CLIPS)


def _clips(video: Path, options: ExtractOptions) -> Iterator[tuple[UInt8Array, list[float]]]:
    with video.open("rb") as file:
        for part in extract_parts(file.fileno(), options, limits=MediaLimits()):
            for view in part.views:
                row, _ = part.locate(view)
                yield assemble_clip(part, view), [part.frames[place].time_s for place in part.clip_frames[row]]


def softmax(logits: Float32Array) -> Float32Array:
    """``[..., K]`` to ``[..., K]``."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    scores: Float32Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


def best(scores: Float32Array, labels: list[str], count: int) -> str:
    """The first labels with their scores, as a table shows them."""
    order = np.argsort(-scores)[:count]
    return ", ".join(f"{labels[place]} {scores[place]:.3f}" for place in order)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, default=Path("model_repository/i3d-kinetics400"))
    options = parser.parse_args()
    network = Network(options.model)
    answered = {(video, stride): network.answer(video, stride=stride) for video in options.videos for stride in STRIDES}

    print("| video | stride | views | answer | agreement |\n|---|---|---|---|---|")
    for (video, stride), found in answered.items():
        for grid, clips in GRIDS.items():
            per_view = found.logits[clips].mean(axis=1)  # [V, K]
            scores = softmax(per_view.mean(axis=0))
            agreement = np.mean(per_view.argmax(axis=-1) == scores.argmax())
            print(f"| {video.name} | {stride} | {grid} | {best(scores, network.labels, 3)} | {agreement:.2f} |")
    mean_s = np.mean([found.cpu_s for found in answered.values()])
    print(f"\n{mean_s:.2f} processor seconds a clip of 64 frames.\n")

    print("| video | seconds | at this step |\n|---|---|---|")
    for video in options.videos:
        found = answered[video, STRIDES[0]]
        for clip in GRIDS["3x1"]:
            for (first, last), step in zip(network.manifest["output"]["steps"], found.logits[clip], strict=True):
                span = f"{found.moments_s[clip][first]:.1f} to {found.moments_s[clip][last]:.1f}"
                print(f"| {video.name} | {span} | {best(softmax(step), network.labels, 2)} |")


if __name__ == "__main__":
    main()
