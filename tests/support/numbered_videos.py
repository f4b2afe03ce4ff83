"""Videos whose frames say which one they are, and a naive straight decode to compare with.

A frame's number is drawn as twelve bits in big gray blocks, robust against lossy codecs and palettes, and read
back from decoded frames. The reference here is deliberately simple and shares no code with the server: decode
everything, then apply the sampling rule to the whole list.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from laps_server.arrays import IntArray
from laps_server.part import Part, Segment
from laps_server.sampled_frame import CropBox, SampledFrame
from laps_server.segment_length import SegmentLength
from laps_server.video.accepted_formats import CodecSet
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import WHOLE_VIDEO_S, ExtractOptions, Thumbnails
from laps_server.video.limits import MediaLimits
from laps_server.video.preprocess import assemble_clip, view_boxes
from laps_server.video_info import VideoInfo
from laps_server.view_grid import SamplingRule, ViewGrid

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 96, 64
BITS, COLUMNS, ROWS = 12, 4, 3
DARK, LIGHT = 48, 208


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """RGB ``[height, width, 3]`` that shows ``number`` in blocks, with a little colour that moves."""
    frame = np.empty((height, width, 3), dtype=np.uint8)
    for bit, block in enumerate(_blocks(width, height)):
        frame[block] = LIGHT if number >> bit & 1 else DARK
    column = number * 3 % max(1, width - 4)
    frame[:, column : column + 4, 2] ^= 24
    return frame


def read_number(frame: Pixels) -> int:
    """The number that ``frame`` shows; whatever its size, as long as it is whole and upright."""
    height, width = frame.shape[:2]
    means = [frame[middle].mean() for middle in _middles(width, height)]
    return sum((mean > (DARK + LIGHT) / 2) << bit for bit, mean in enumerate(means))


@cache
def _blocks(width: int, height: int) -> tuple[tuple[slice, slice], ...]:
    """Where each bit is drawn, rows and columns."""
    places = (divmod(bit, COLUMNS) for bit in range(BITS))
    return tuple(
        (
            slice(row * height // ROWS, (row + 1) * height // ROWS),
            slice(column * width // COLUMNS, (column + 1) * width // COLUMNS),
        )
        for row, column in places
    )


@cache
def _middles(width: int, height: int) -> tuple[tuple[slice, slice], ...]:
    """Where each bit is read: its block without a quarter at each side."""

    def middle(side: slice) -> slice:
        trim = (side.stop - side.start) // 4
        return slice(side.start + trim, side.stop - trim)

    return tuple((middle(y), middle(x)) for y, x in _blocks(width, height))


def encode(
    path: Path,
    codec: str,
    *,
    count: int,
    options: Mapping[str, str] | None = None,
    rate: int | Fraction = 25,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    pix_fmt: str = "yuv420p",
    muxer: str | None = None,
    muxer_options: Mapping[str, str] | None = None,
    pts_of: Callable[[int], int] | None = None,
    time_base: Fraction | None = None,
    metadata: Mapping[str, str] | None = None,
    draw: Callable[[int], Pixels] | None = None,
) -> Path:
    """Write ``count`` numbered frames with PyAV.

    ``pts_of`` gives timestamps in ``time_base`` units, ``draw`` other frames than :func:`numbered` ones.
    """
    with av.open(str(path), "w", format=muxer, options=dict(muxer_options or {})) as out:
        out.metadata.update(metadata or {})
        stream = cast(VideoStream, out.add_stream(codec, rate=rate, options=dict(options or {})))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if time_base is not None:
            stream.time_base = time_base
            stream.codec_context.time_base = time_base
        for number in range(count):
            pixels = numbered(number, *size) if draw is None else draw(number)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if codec == "gif":
                frame = frame.reformat(format="rgb8", threads=1)
            frame.pts = number if pts_of is None else pts_of(number)
            frame.time_base = time_base or Fraction(1) / Fraction(rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def ffmpeg(*arguments: str | Path) -> None:
    """Run Debian's ffmpeg, for what PyAV cannot write; skips the test where it is not installed."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")
    command = [program, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


@dataclass(frozen=True)
class Straight:
    """All frames of a video in output order, with what its header says."""

    frames: list[Pixels]
    times: list[int]
    declared: int
    duration: int | None
    time_base: Fraction

    def segments(self, length_s: Fraction) -> dict[int, tuple[int, Straight]]:
        """Each window of time that holds a frame: its first frame's number, and the window as a video of its own.

        What headers a segment would have follows from its frames, if there are headers at all.
        """
        groups: dict[int, list[int]] = {}
        for number, time in enumerate(self.times):
            groups.setdefault(int(time * self.time_base / length_s), []).append(number)
        segments = {}
        for index, numbers in groups.items():
            first, last = numbers[0], numbers[-1]
            times = [self.times[number] - self.times[first] for number in numbers]
            known = self.declared > 0 and self.duration
            step = Fraction(times[-1], len(times) - 1) if len(times) > 1 else Fraction(1)
            duration = round(step * len(times)) if known else None
            frames = self.frames[first : last + 1]
            segments[index] = (
                first,
                Straight(frames, times, len(times) if known else 0, duration, self.time_base),
            )
        return segments

    def clips(self, frames: int, stride: int, views: int) -> list[list[int]]:
        """Frame numbers of each temporal view, by the rule of docs/protocol.md written out naively."""
        span = frames * stride
        total = len(self.frames)
        known = self.declared > 0 and self.duration is not None and self.duration > 0
        count, duration = total, self.duration
        if self.declared != total and total > 1:  # shown frames count, whatever the header says
            duration = round(Fraction(self.times[-1] * total, total - 1))
        result = []
        for view in range(views):
            start = max(count - span, 0) * view / views
            if known and duration is not None:
                low = int(start * duration / count)
                high = int((start + span - 1) * duration / count)
                inside = [i for i, time in enumerate(self.times) if low <= time <= high]
                later = [i for i, time in enumerate(self.times) if time > high]
                window = inside + later[:1] or [total - 1]
                values = np.linspace(0, span - 1, frames)
            else:
                window = list(range(total))
                values = np.linspace(start, start + span - 1, frames)
            result.append([window[int(value % len(window))] for value in values])
        return result


def straight(path: Path) -> Straight:
    """Decode the whole file the plain way."""
    with av.open(str(path), metadata_errors="replace") as source:
        stream = source.streams.video[0]
        decoded = list(source.decode(stream))
        rate = stream.average_rate or stream.guessed_rate
        step = Fraction(1) / (rate * stream.time_base) if rate and stream.time_base else Fraction(1)
        if stream.frames and stream.duration:
            step = Fraction(stream.duration, stream.frames)
        raw = [frame.pts for frame in decoded]
        known = [time for time in raw if time is not None]
        if len(known) == len(raw) and all(a < b for a, b in pairwise(known)):
            times = [time - known[0] for time in known]
        else:
            times = [round(number * step) for number in range(len(raw))]
        frames = [upright(frame) for frame in decoded]
        return Straight(frames, times, stream.frames, stream.duration, stream.time_base or Fraction(1, av.time_base))


def upright(frame: VideoFrame) -> Pixels:
    """RGB as the player shows it: FFmpeg gives the rotation counterclockwise, as numpy turns."""
    # One thread: FFmpeg would start others for each small frame, which takes ten times as long as converting it.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24", threads=1), frame.rotation // 90))


@dataclass(frozen=True)
class Sampled:
    """One segment as its Parts give it together; the whole video where it is one segment.

    ``pixels`` are of the distinct ``frames``; ``clip_frames`` ``[V_t, T]`` are positions among them. ``warnings`` are
    about the segment, ``video_warnings`` about the video.
    """

    parts: tuple[Part, ...]
    segment: Segment
    total: int
    info: VideoInfo
    frames: tuple[SampledFrame, ...]
    pixels: tuple[Pixels, ...]
    clip_frames: IntArray
    thumbnails: tuple[bytes, ...]
    warnings: tuple[str, ...]
    video_warnings: tuple[str, ...]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Sampled:
        """Put Parts of one segment together; a frame that several hold has to be the same in all of them."""
        frames: dict[int, SampledFrame] = {}
        pixels: dict[int, Pixels] = {}
        jpegs: dict[int, bytes] = {}
        rows = []
        for part in parts:
            for position, place in enumerate(part.places):
                if place in frames:
                    assert frames[place] == part.frames[position]
                    np.testing.assert_array_equal(pixels[place], part.frame_pixels(position))
                frames[place], pixels[place] = part.frames[position], part.frame_pixels(position)
                if part.thumbnails:
                    jpegs[place] = part.thumbnails[position]
            rows.append(np.asarray(part.places, dtype=np.intp)[part.clip_frames])
        last = parts[-1]
        assert sorted(frames) == list(range(len(frames)))
        assert [clip for part in parts for clip in part.clips] == list(range(last.grid.temporal))
        assert [part.ends_segment for part in parts] == [False] * (len(parts) - 1) + [True]
        return cls(
            parts=tuple(parts),
            segment=last.segment,
            total=last.segments_total,
            info=last.video,
            frames=tuple(frames[place] for place in sorted(frames)),
            pixels=tuple(pixels[place] for place in sorted(pixels)),
            clip_frames=np.concatenate(rows),
            thumbnails=tuple(jpegs[place] for place in sorted(jpegs)),
            warnings=tuple(f"the segment {item.text}" for item in last.warnings if item.scope == "segment"),
            video_warnings=tuple(item.text for item in last.warnings if item.scope == "video"),
        )

    @property
    def grid(self) -> ViewGrid:
        """The views taken."""
        return self.parts[0].grid

    @property
    def told(self) -> tuple[str, ...]:
        """All warnings of a video that is one segment."""
        return (*self.warnings, *self.video_warnings)

    def clip(self, view: int) -> Pixels:
        """The model's input of one view, ``[T, H, W, 3]``."""
        return assemble_clip(self._part_of(view), view)

    def boxes(self, view: int) -> tuple[CropBox, ...]:
        """The crops of one view."""
        return view_boxes(self._part_of(view), view)

    def _part_of(self, view: int) -> Part:
        return next(part for part in self.parts if view in part.views)


def segments_of(parts: Iterable[Part]) -> list[Sampled]:
    """Parts as segments; those of a segment that began once more are dropped, as a job drops them."""
    segments: dict[int, list[Part]] = {}
    for part in parts:
        if part.begins_segment:
            segments[part.ordinal] = []
        segments[part.ordinal].append(part)
    return [Sampled.of(found) for found in segments.values()]


def extract(
    path: Path,
    *,
    views: str = "5x1",
    frames: int = 4,
    stride: int = 4,
    side: int = HEIGHT,
    limits: MediaLimits | None = None,
    threads: int = 1,
    codecs: CodecSet = "standard",
    thumbnails: Thumbnails = "none",
    should_stop: Callable[[], bool] = lambda: False,
    sampling: SamplingRule = "laps_uniform",
) -> Sampled:
    """Run the server's extraction on a file; by default at native size, so that pixels can be compared."""
    options = extract_options(
        views=views, frames=frames, stride=stride, side=side, thumbnails=thumbnails, sampling=sampling
    )
    limits = limits or MediaLimits(codecs=codecs)
    (only,) = _extract(path, options, limits=limits, threads=threads, should_stop=should_stop)
    return replace(only, warnings=only.told)  # of a whole video nobody asks whether the segment or the video is meant


def cut(
    path: Path,
    length: str,
    options: ExtractOptions,
    *,
    limits: MediaLimits | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Sampled], tuple[str, ...]]:
    """All segments of a file, and the warnings about the whole of it."""
    options = replace(options, window_s=SegmentLength.parse(length).seconds)
    found = _extract(path, options, limits=limits, should_stop=should_stop)
    return found, found[-1].video_warnings if found else ()


def _extract(
    path: Path,
    options: ExtractOptions,
    *,
    limits: MediaLimits | None,
    should_stop: Callable[[], bool],
    threads: int = 1,
) -> list[Sampled]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return segments_of(
            extract_parts(descriptor, options, limits=limits or MediaLimits(), threads=threads, should_stop=should_stop)
        )
    finally:
        os.close(descriptor)


def extract_options(
    *,
    views: str = "5x1",
    frames: int = 4,
    stride: int = 4,
    side: int = HEIGHT,
    thumbnails: Thumbnails = "none",
    window_s: Fraction = WHOLE_VIDEO_S,
    sampling: SamplingRule = "laps_uniform",
) -> ExtractOptions:
    """What a model of small clips wants of a video."""
    return ExtractOptions(
        grid=ViewGrid.parse(views),
        frames=frames,
        stride=stride,
        short_side=side,
        crop_height=side,
        crop_width=side,
        thumbnails=thumbnails,
        window_s=window_s,
        sampling=sampling,
    )


def sampled_numbers(sampled: Sampled) -> list[list[int]]:
    """The numbers that the frames of each clip show, ``[V_t][T]``."""
    shown = [read_number(pixels) for pixels in sampled.pixels]
    return [[shown[position] for position in clip] for clip in sampled.clip_frames]


def assert_same_as_straight(
    path: Path,
    *,
    views: int = 5,
    frames: int = 4,
    stride: int = 4,
    shows_numbers: bool = True,
    codecs: CodecSet = "standard",
) -> Sampled:
    """Extract and compare with a straight decode: numbers, indices, times and every pixel."""
    reference = straight(path)
    side = min(reference.frames[0].shape[:2])
    # Of three crops: for a single one a long frame is not kept whole.
    extraction = extract(path, views=f"{views}x3", frames=frames, stride=stride, side=side, codecs=codecs)
    expected = reference.clips(frames, stride, views)
    batch = extraction
    if shows_numbers:
        shown = [read_number(frame) for frame in reference.frames]
        assert sampled_numbers(extraction) == [[shown[i] for i in clip] for clip in expected]
    for clip, wanted in zip(batch.clip_frames, expected, strict=True):
        for position, number in zip(clip, wanted, strict=True):
            np.testing.assert_array_equal(batch.pixels[position], reference.frames[number])
            assert batch.frames[position].index in (number, None)
            assert batch.frames[position].pts == reference.times[number]
    return extraction


def assert_one_segment_is_the_video(
    path: Path, *, views: int, frames: int, stride: int, codecs: CodecSet = "standard"
) -> None:
    """A window that holds the whole video gives what no window gives."""
    options = extract_options(views=f"{views}x1", frames=frames, stride=stride)
    whole = extract(path, views=f"{views}x1", frames=frames, stride=stride, codecs=codecs)
    ((segment,), _) = cut(path, "1h", options, limits=MediaLimits(codecs=codecs))
    assert segment.frames == whole.frames
    assert segment.info == whole.info
    assert segment.segment.end_s == whole.info.duration_s
    assert sorted(segment.told) == sorted(whole.warnings)
    np.testing.assert_array_equal(segment.clip_frames, whole.clip_frames)
    for ours, theirs in zip(segment.pixels, whole.pixels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def assert_segments_same_as_straight(
    path: Path, length: str, *, views: int = 3, frames: int = 4, stride: int = 4
) -> tuple[list[Sampled], tuple[str, ...]]:
    """Cut a file and compare each segment with a straight decode: windows, indices, times and every pixel."""
    reference = straight(path)
    side = min(reference.frames[0].shape[:2])
    segments, warnings = cut(path, length, extract_options(views=f"{views}x1", frames=frames, stride=stride, side=side))
    expected = reference.segments(SegmentLength.parse(length).seconds)
    assert [segment.segment.index for segment in segments] == list(expected)
    for segment, (first, alone) in zip(segments, expected.values(), strict=True):
        assert segment.total == len(expected)
        assert segment.segment.frames == range(first, first + len(alone.frames))
        batch = segment
        for clip, wanted in zip(batch.clip_frames, alone.clips(frames, stride, views), strict=True):
            for position, number in zip(clip, wanted, strict=True):
                np.testing.assert_array_equal(batch.pixels[position], alone.frames[number])
                assert batch.frames[position].index == first + number
                assert batch.frames[position].pts == reference.times[first + number]
    return segments, warnings


def patch_bytes(path: Path, old: bytes, new: bytes, *, occurrence: int = 0) -> None:
    """Replace one occurrence of ``old`` in a file by ``new`` of the same length."""
    data = path.read_bytes()
    position = -1
    for _ in range(occurrence + 1):
        position = data.index(old, position + 1)
    path.write_bytes(data[:position] + new + data[position + len(old) :])


def numbers_in(sequence: Sequence[Sequence[int]]) -> set[int]:
    """All numbers of some clips."""
    return {number for clip in sequence for number in clip}


def repeat(source: Path, path: Path, times_over: int, *, muxer: str | None = None) -> Path:
    """Write the packets of ``source`` ``times_over`` times, one behind the other, without encoding them again."""
    with av.open(str(source)) as given:
        is_av1 = given.streams.video[0].codec_context.codec.canonical_name == "av1"
    if is_av1:  # PyAV looks for an encoder by the decoder's name, and there is none
        ffmpeg("-stream_loop", str(times_over - 1), "-i", source, "-c", "copy", path)
        return path
    with av.open(str(source)) as given, av.open(str(path), "w", format=muxer) as out:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.pts is not None]
        times = [packet.pts for packet in packets if packet.pts is not None]
        shown = sorted(times)
        span = round((shown[-1] - shown[0]) * len(shown) / (len(shown) - 1))
        # Decoding times as late as the order allows: Matroska does not keep them.
        delay = max(due - time for due, time in zip(shown, times, strict=True))
        copy = out.add_stream_from_template(stream)
        raw = [bytes(packet) for packet in packets]
        for turn in range(times_over):
            for data, packet, time, due in zip(raw, packets, times, shown, strict=True):
                again = av.Packet(data)
                again.stream = copy
                again.time_base = packet.time_base
                again.pts = time + turn * span
                again.dts = due - delay + turn * span
                again.duration = packet.duration
                again.is_keyframe = packet.is_keyframe
                out.mux(again)
    return path


def peak_kib() -> int:
    """The most memory that this process has held since it was started, its parent's left out."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("no VmHWM in /proc/self/status")
