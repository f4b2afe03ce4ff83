"""Long files: the container's index is used, the frames stay right, and memory does not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from laps_server.video import sampler
from laps_server.video.av_file.packet import Packet
from laps_server.video.av_file.video_file import VideoFile
from support.numbered_videos import assert_same_as_straight, encode, extract, read_number, repeat

TESTS = Path(__file__).parents[2]
X264 = {"preset": "ultrafast", "g": "50", "keyint_min": "50", "sc_threshold": "0", "bf": "2", "b_strategy": "0"}
OPEN_GOP = {**X264, "preset": "veryfast", "x264-params": "open-gop=1"}
VP9 = {"g": "50", "b": "300k", "deadline": "realtime", "cpu-used": "8"}
COUNT = 3100  # 124 seconds at 25 frames a second: too long to count packets first
MINUTE, TWO_HOURS = 1500, 180_000
MILLISECOND = Fraction(1, 1000)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every packet that is decoded."""
    fed: list[int] = []
    original = VideoFile.decode

    def noting(self: VideoFile, packet: Packet | None) -> object:
        fed.append(0)
        return original(self, packet)

    monkeypatch.setattr(VideoFile, "decode", noting)
    return fed


@pytest.fixture
def no_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the whole file would be read."""

    def refuse(*_: object) -> None:
        pytest.fail("all packets were read")

    monkeypatch.setattr(sampler, "walk_packets", refuse)


@pytest.mark.usefixtures("no_walk")
@pytest.mark.parametrize(
    ("name", "codec", "options", "rate"),
    [
        ("h264.mp4", "libx264", X264, Fraction(25)),
        ("h264_fragments.mp4", "libx264", X264, Fraction(25)),
        ("h264.mkv", "libx264", X264, Fraction(25)),
        ("h264_open_gop.mkv", "libx264", OPEN_GOP, Fraction(25)),
        ("h264_ntsc.mkv", "libx264", X264, Fraction(24000, 1001)),
        ("vp9.webm", "libvpx-vp9", VP9, Fraction(25)),
        ("mpeg4.mkv", "mpeg4", {"g": "25", "bf": "2", "b": "800k"}, Fraction(25)),
    ],
)
def test_long_indexed_files_are_sought_and_give_the_same_frames(
    name: str, codec: str, options: dict[str, str], rate: Fraction, tmp_path: Path, read: list[int]
) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"} if "fragments" in name else None
    path = encode(tmp_path / name, codec, count=COUNT, options=options, rate=rate, muxer_options=fragments)
    extraction = assert_same_as_straight(path, views=5, frames=8, stride=8)
    assert all(frame.index is not None for frame in extraction.frames)
    assert len(read) < COUNT / 4


def unsteady(number: int) -> int:
    return number * 40 + number % 3 * 9


def with_a_gap_between_windows(number: int) -> int:
    return number * 40 + (4000 if number > 400 else 0)


def with_a_gap_in_a_window(number: int) -> int:
    return number * 40 + (4000 if number > 690 else 0)


@pytest.mark.parametrize("clock", [unsteady, with_a_gap_in_a_window], ids=lambda clock: clock.__name__)
def test_a_long_matroska_file_with_an_unsteady_clock_is_counted(clock: Callable[[int], int], tmp_path: Path) -> None:
    path = encode(tmp_path / "vfr.mkv", "libx264", count=COUNT, options=X264, pts_of=clock, time_base=MILLISECOND)
    assert_same_as_straight(path, views=5, frames=8, stride=8)


def test_a_gap_that_no_window_sees_shifts_numbers_and_nothing_else(tmp_path: Path) -> None:
    """The rule for long files without a count goes by time: docs/protocol.md."""
    path = encode(
        tmp_path / "gap.mkv",
        "libx264",
        count=COUNT,
        options=X264,
        pts_of=with_a_gap_between_windows,
        time_base=MILLISECOND,
    )
    batch = extract(path)
    for frame, pixels in zip(batch.frames, batch.pixels, strict=True):
        assert with_a_gap_between_windows(read_number(pixels)) == frame.pts


MEASURE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.numbered_videos import extract, peak_kib
batch = extract(Path(sys.argv[2]), views="5x3", frames=8, stride=8, side=224)
print(json.dumps([peak_kib(), batch.frames[-1].time_s]))
"""


def measure(path: Path) -> tuple[int, float]:
    """Peak KiB of a process that does nothing but extract, and the time of its last frame."""
    command = [sys.executable, "-c", MEASURE, str(TESTS), str(path)]
    peak, last_s = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return peak, last_s


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
def test_two_hours_take_as_much_memory_as_a_minute(name: str, tmp_path: Path) -> None:
    minute = encode(tmp_path / f"minute_{name}", "libx264", count=MINUTE, options=X264, size=(192, 128))
    video = repeat(minute, tmp_path / name, TWO_HOURS // MINUTE)
    short_peak, _ = measure(minute)
    long_peak, last_s = measure(video)
    assert 5000 < last_s < 7200
    assert long_peak <= 1.2 * short_peak, f"{short_peak} KiB for a minute, {long_peak} KiB for two hours"
