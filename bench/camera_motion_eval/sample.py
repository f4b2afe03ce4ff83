"""Make the sample clip of examples/: a pan to the right, then a zoom in, over one photograph.

python -m bench.camera_motion_eval.sample --photograph rocket.jpg --out examples/pan-then-zoom.mp4
"""

from __future__ import annotations

import argparse
import random
import subprocess
from pathlib import Path

from bench.camera_motion_eval.moves import Move, perspective_filter, rectangle

RATE = 25.0
WIDTH, HEIGHT = 384, 288
MOVES = (Move("pan right", 0.28, 0.0, 2.4), Move("zoom in", 0.3, 2.4, 4.8))
_VIEW = 0.5  # the frame as a share of the picture


def main() -> None:
    """Parse and encode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photograph", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    shape = rectangle(random.Random(0), MOVES, tremor=0.0008, centre=(-0.35, 0.0))
    tall, wide = round(HEIGHT / _VIEW), round(WIDTH / _VIEW)
    graph = (
        f"scale={wide}:{tall}:force_original_aspect_ratio=increase:flags=lanczos,crop={wide}:{tall},setsar=1,format=gbrp,"
        f"loop=loop=-1:size=1:start=0,setpts=N/{RATE:.6f}/TB,"
        f"{perspective_filter(shape, rate=RATE, view=_VIEW, aspect=WIDTH / HEIGHT)},"
        f"scale={WIDTH}:{HEIGHT}:flags=bilinear,setsar=1,format=yuv420p"
    )
    frames = round(MOVES[-1].end_s * RATE)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    source = ["-framerate", f"{RATE:g}", "-i", str(options.photograph)]
    # Bit-exact, so that the same FFmpeg makes the same file again.
    encode = ["-c:v", "libx264", "-preset", "slow", "-crf", "27", "-threads", "1", "-flags", "+bitexact"]
    encode += ["-fflags", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *source, "-vf", graph, "-frames:v", str(frames), *encode]
    subprocess.run([*command, str(options.out)], check=True)


if __name__ == "__main__":
    main()
