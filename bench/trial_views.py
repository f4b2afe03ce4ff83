"""Make the video that the server's trial of engines looks at: ten shots of one camera motion each, of ten photographs.

python -m bench.trial_views --out server/src/laps_server/trial_views.mp4

All photographs are in the public domain or CC0, and come with scikit-image: its docs of `skimage.data` say so of each.
A shot is as long as the longest clip of a model that ships, so that every view shows one shot alone.
"""

from __future__ import annotations

import argparse
import random
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.camera_motion_eval.moves import Move, perspective_filter, rectangle

RATE = 25.0
SHOT_S = 2.6
WIDTH, HEIGHT = 320, 240


@dataclass(frozen=True)
class Shot:
    """A motion over one photograph: in the unit of `SPEEDS`, from a centre in short sides of the frame."""

    photograph: str
    label: str
    speed: float
    centre: tuple[float, float] = (0.0, 0.0)
    view: float = 0.5  # the frame as a share of the picture


SHOTS = (
    Shot("coffee.png", "static", 0.0, view=0.8),
    Shot("rocket.jpg", "pan right", 0.3),
    Shot("astronaut.png", "pan left", 0.22),
    Shot("camera.png", "tilt down", 0.25),
    Shot("chelsea.png", "tilt up", 0.22),
    Shot("hubble_deep_field.jpg", "zoom in", 0.3),
    Shot("astronaut.png", "zoom out", 0.3, (0.0, -0.3), 0.4),
    Shot("coffee.png", "roll clockwise", 0.35),
    Shot("chelsea.png", "roll counterclockwise", 0.35),
    Shot("rocket.jpg", "handheld shake", 0.03, (0.1, -0.1), 0.6),
)


def main() -> None:
    """Parse and encode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crf", type=int, default=29)
    options = parser.parse_args()
    folder = _photographs()
    frames = round(SHOT_S * RATE)
    sources, chains = [], []
    for number, shot in enumerate(SHOTS):
        sources += ["-framerate", f"{RATE:g}", "-i", str(folder / shot.photograph)]
        move = Move(shot.label, shot.speed, 0.0, SHOT_S)
        shape = rectangle(random.Random(number), (move,), tremor=0.0, centre=shot.centre)
        tall, wide = round(HEIGHT / shot.view), round(WIDTH / shot.view)
        chains.append(
            f"[{number}:v]scale={wide}:{tall}:force_original_aspect_ratio=increase:flags=lanczos,crop={wide}:{tall},"
            f"setsar=1,format=gbrp,loop=loop=-1:size=1:start=0,setpts=N/{RATE:.6f}/TB,"
            f"{perspective_filter(shape, rate=RATE, view=shot.view, aspect=WIDTH / HEIGHT)},"
            f"scale={WIDTH}:{HEIGHT}:flags=bilinear,setsar=1,format=yuv420p,trim=end_frame={frames},"
            f"setpts=N/{RATE:.6f}/TB[shot{number}]"
        )
    joined = "".join(f"[shot{number}]" for number in range(len(SHOTS)))
    chains.append(f"{joined}concat=n={len(SHOTS)}:v=1:a=0[out]")
    # Bit-exact, so that the same FFmpeg makes the same file again; a key frame where a shot begins.
    encode = ["-c:v", "libx264", "-preset", "veryslow", "-crf", str(options.crf), "-threads", "1", "-g", str(frames)]
    encode += ["-keyint_min", str(frames), "-sc_threshold", "0", "-flags", "+bitexact", "-fflags", "+bitexact"]
    encode += ["-map_metadata", "-1", "-movflags", "+faststart"]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *sources, "-filter_complex", ";".join(chains)]
    subprocess.run([*command, "-map", "[out]", "-r", f"{RATE:g}", *encode, str(options.out)], check=True)


def _photographs() -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-image is not installed")
    return Path(spec.origin).parent / "data"


if __name__ == "__main__":
    main()
