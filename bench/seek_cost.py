"""What a long video costs beside a short one of the same codec and size, at 5 x 3 views.

Run ``python bench/seek_cost.py`` from the repository with the development environment. A minute is encoded once
for each codec, two hours are made of its packets repeated, and both are extracted in turn in one process, so
that only the ratio of the two counts. Indexed containers (MP4, MOV, Matroska, WebM) must stay within a ratio of
2; the others are shown for comparison. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from support.numbered_videos import encode, extract, peak_kib, repeat  # noqa: E402 - the path comes first

FPS, MINUTE_FRAMES, REPEATS = 25, 1500, 120
MAX_RATIO, MAX_MEMORY_RATIO = 2.0, 1.2


@dataclass(frozen=True)
class TimedFormat:
    """A container and a codec; ``indexed`` ones are held to the limits."""

    name: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    pix_fmt: str = "yuv420p"
    indexed: bool = True
    muxer: str | None = None


X264 = {"preset": "veryfast", "g": "250", "bf": "3"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=250:bframes=3"}
VP = {"g": "128", "b": "600k", "deadline": "realtime", "cpu-used": "8"}
AV1 = {"preset": "12", "g": "161"}
MPEG = {"g": "12", "bf": "2", "b": "1500k"}
FORMATS = (
    TimedFormat("h264.mp4", "libx264", X264),
    TimedFormat("h264.mkv", "libx264", X264),
    TimedFormat("hevc.mp4", "libx265", X265),
    TimedFormat("hevc.mkv", "libx265", X265),
    TimedFormat("vp8.webm", "libvpx", VP),
    TimedFormat("vp9.webm", "libvpx-vp9", VP),
    TimedFormat("av1.mp4", "libsvtav1", AV1),
    TimedFormat("av1.webm", "libsvtav1", AV1),
    TimedFormat("mpeg4.mp4", "mpeg4", MPEG),
    TimedFormat("mjpeg.mov", "mjpeg", pix_fmt="yuvj420p"),
    TimedFormat("h264.ts", "libx264", X264, indexed=False),
    TimedFormat("mpeg4.avi", "mpeg4", MPEG, indexed=False),
    TimedFormat("h264.flv", "libx264", X264, indexed=False),
    TimedFormat("mpeg2.mpg", "mpeg2video", MPEG, indexed=False, muxer="vob"),
)


def seconds(path: Path) -> float:
    """Seconds of one extraction."""
    begin = time.perf_counter()
    extract(path, views="5x3", frames=8, stride=8, side=224)
    return time.perf_counter() - begin


def peak(path: Path) -> int:
    """Peak KiB of a process that extracts ``path`` once."""
    command = [sys.executable, __file__, "--peak-of", str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(timed: TimedFormat, folder: Path, size: tuple[int, int], rounds: int) -> dict[str, object]:
    """Both files' seconds and memory; the median over ``rounds`` that alternate between them."""
    minute = encode(
        folder / f"minute_{timed.name}",
        timed.codec,
        count=MINUTE_FRAMES,
        rate=FPS,
        options=timed.options,
        size=size,
        pix_fmt=timed.pix_fmt,
        muxer=timed.muxer,
    )
    film = folder / f"film_{timed.name}"
    repeat(minute, film, REPEATS, muxer=timed.muxer)
    extract(minute)  # first use loads code
    pairs = [(seconds(minute), seconds(film)) for _ in range(rounds)]
    short_s, long_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    short_kib, long_kib = peak(minute), peak(film)
    result = {
        "format": timed.name,
        "indexed": timed.indexed,
        "minute_s": round(short_s, 4),
        "two_hours_s": round(long_s, 4),
        "ratio": round(long_s / short_s, 2),
        "memory_ratio": round(long_kib / short_kib, 3),
        "two_hours_mib": round(film.stat().st_size / 2**20),
    }
    minute.unlink()
    film.unlink()
    return result


def main() -> int:
    """Measure all cells, print a table, and fail where an indexed container is beyond a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="640x360", help="width x height of the pictures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="cells whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of is not None:
        seconds(arguments.peak_of)
        print(peak_kib())
        return 0
    os.environ.setdefault("SVT_LOG", "-1")
    width, height = (int(part) for part in arguments.size.split("x"))
    results = []
    print(f"{'format':<12} {'minute':>9} {'two hours':>10} {'ratio':>6} {'memory':>7} {'MiB':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for timed in FORMATS:
            if arguments.only and arguments.only not in timed.name:
                continue
            row = measure(timed, Path(folder), (width, height), arguments.rounds)
            results.append(row)
            print(
                f"{row['format']:<12} {row['minute_s']:>8}s {row['two_hours_s']:>9}s {row['ratio']:>6}"
                f" {row['memory_ratio']:>7} {row['two_hours_mib']:>6}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    beyond = [
        row["format"]
        for row in results
        if row["indexed"]
        and (float(str(row["ratio"])) > MAX_RATIO or float(str(row["memory_ratio"])) > MAX_MEMORY_RATIO)
    ]
    if beyond:
        print("beyond the limits:", ", ".join(map(str, beyond)))
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
