"""Frames that would take too much memory are refused before they do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from laps_server.errors import ResolutionTooLarge
from laps_server.video import sampler
from laps_server.video.limits import MediaLimits
from laps_server.video.timestamps import TimestampsUnreliable
from support.hostile_files import huge_gif
from support.numbered_videos import encode, extract, ffmpeg

X264 = {"preset": "veryfast", "g": "20", "bf": "3"}


MEASURE = """
import json, sys
from laps_server.errors import LapsError
sys.path.insert(0, sys.argv[1])
import os
from laps_server.video.extract import extract_parts
from laps_server.video.limits import MediaLimits
from support.numbered_videos import extract_options, peak_kib
options = json.loads(sys.argv[3])
file, limits = os.open(sys.argv[2], os.O_RDONLY), MediaLimits(codecs=options.pop("codecs", "standard"))
before = peak_kib()
try:
    for part in extract_parts(file, extract_options(**options), limits=limits):
        del part
    code = "ok"
except LapsError as error:
    code = error.code
print(json.dumps([code, (peak_kib() - before) // 1024]))
"""
TESTS = Path(__file__).parents[2]
BLACK_ROW = np.zeros((8, 4096, 3), dtype=np.uint8)


def measure(path: Path, **options: str | int) -> tuple[str, int]:
    """Extract in a process of its own: the error's code or "ok", and by how many MiB its memory grew at most."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(TESTS), str(path), json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, grown_mib = json.loads(run.stdout)
    return code, grown_mib


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("bomb.gif", None),
        ("bomb.mp4", "libx264"),
        ("bomb.mkv", "libx264"),
        ("bomb.ts", "libx264"),
        ("bomb.avi", "mjpeg"),
        ("bomb.mov", "mjpeg"),
        ("bomb.webm", "libvpx"),
        ("bomb.mkv", "ffv1"),
        ("bomb_prores.mov", "prores_aw"),
        ("bomb.wmv", "wmv2"),
    ],
)
def test_giant_frames_are_refused_before_they_take_memory(name: str, codec: str | None, tmp_path: Path) -> None:
    path = tmp_path / name
    if codec is None:
        huge_gif(path, 16_000)
    else:
        side = 6000 if codec in ("libvpx", "ffv1", "prores_aw") else 8192
        options = {
            "libx264": ["-preset", "ultrafast"],
            "libvpx": ["-cpu-used", "16", "-deadline", "realtime"],
            "ffv1": ["-coder", "0", "-context", "0"],
        }
        ffmpeg(
            *("-f", "lavfi", "-i", f"color=s={side}x{side}:r=10", "-frames:v", "1", "-c:v", codec),
            *options.get(codec, []),
            path,
        )
    code, grown_mib = measure(path, codecs="wide")
    assert code == "resolution_too_large"
    assert grown_mib < 40  # the smallest of them has 51 MiB


@pytest.mark.parametrize(
    ("name", "codec"), [("raw.avi", "rawvideo"), ("raw.mkv", "rawvideo"), ("packed.avi", "huffyuv")]
)
def test_giant_frames_that_are_hardly_packed_cost_what_their_file_does(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg(
        *("-f", "lavfi", "-i", "color=s=6000x6000:r=10", "-frames:v", "1"), "-pix_fmt", "yuv422p", "-c:v", codec, path
    )
    code, grown_mib = measure(path, codecs="wide")
    assert code == "resolution_too_large"
    assert grown_mib < 60 + 2 * path.stat().st_size // 2**20


def strip(path: Path, width: int) -> Path:
    return encode(path, "mjpeg", count=70, size=(width, 8), pix_fmt="yuvj444p", draw=lambda _: BLACK_ROW[:, :width])


def test_a_strip_that_would_become_a_gigabyte_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    code, grown_mib = measure(strip(tmp_path / "strip.mkv", 4096), views="5x3", frames=8, stride=8, side=224)
    assert code == "resolution_too_large"
    assert grown_mib < 60


def test_of_an_elongated_video_only_the_crops_are_kept(tmp_path: Path) -> None:
    path = strip(tmp_path / "long.mkv", 256)  # the longest shape that is taken; 63 resized frames hold 289 MiB
    code, grown_mib = measure(path, views="64x3", frames=8, stride=1, side=224)
    assert code == "ok"
    assert grown_mib < 90


def test_elongated_frames_are_taken_up_to_a_limit(tmp_path: Path) -> None:
    assert extract(strip(tmp_path / "long.mkv", 256), side=8).info.width == 256
    with pytest.raises(ResolutionTooLarge, match="258x8") as refusal:
        extract(strip(tmp_path / "longer.mkv", 258), side=8)
    assert "32 times" in str(refusal.value.hint)


def test_frames_that_no_later_clip_uses_make_room(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", "libx264", count=400, options=X264)
    sampled = extract(path, views="20x1")
    three_clips = 3 * 4 * 96 * 64 * 3
    assert sum(pixels.nbytes for pixels in sampled.pixels) > 5 * three_clips
    limits = MediaLimits(max_kept_bytes=2 * 2 * three_clips)
    assert extract(path, views="20x1", limits=limits).frames == sampled.frames


def test_frames_that_are_kept_at_once_are_bounded(good: Path) -> None:
    one = 96 * 64 * 3
    most = max(len(part.frames) for part in extract(good, views="1x1", frames=8).parts)
    assert extract(good, views="1x1", frames=8, limits=MediaLimits(max_kept_bytes=2 * most * one)).frames
    with pytest.raises(ResolutionTooLarge, match="1x1") as refusal:
        extract(good, views="1x1", frames=8, limits=MediaLimits(max_kept_bytes=2 * most * one - 1))
    assert "fewer views" in str(refusal.value.hint)


def test_frames_that_a_false_start_left_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong guess of the number of frames: those fetched by it make room for those of the right one."""
    path = encode(tmp_path / "counted.ts", "libx264", count=120, options=X264)
    monkeypatch.setattr(sampler, "walk_packets", Mock(side_effect=TimestampsUnreliable("a test", packets=70)))
    batch = extract(path)
    limits = MediaLimits(max_kept_bytes=2 * sum(pixels.nbytes for pixels in batch.pixels))
    assert extract(path, limits=limits).frames == batch.frames


def test_a_strip_that_would_be_resized_to_a_giant_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "strip.avi", "mjpeg", count=2, size=(4096, 2), pix_fmt="yuvj444p")
    with pytest.raises(ResolutionTooLarge):
        extract(path, side=224)


def test_the_pixel_limit_is_the_callers(good: Path) -> None:
    assert extract(good, limits=MediaLimits(max_pixels=128 * 64)).info.width == 96
    with pytest.raises(ResolutionTooLarge):
        extract(good, limits=MediaLimits(max_pixels=96 * 64 - 1))
