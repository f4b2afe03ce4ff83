"""What a right answer about a film of numbered pictures is, as the list of what is wrong with one.

The words of an answer are compared with the film alone: which pictures it has, and when each is shown. How a server
came to its clips is not asked, so any rule of sampling that takes pictures in the order of time passes.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from PIL import Image

from support.numbered_videos import read_number

START_TOLERANCE = 1.5  # pictures
TIME_TOLERANCE_S = 0.002
DURATION_TOLERANCE = 0.02  # of the duration, and one picture
RATE_TOLERANCE = 0.02
SCORE_TOLERANCE = 1e-4

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Film:
    """The pictures of a film, by the numbers that they show, and when they are shown.

    Attributes:
        numbers: in presentation order.
        times_s: of each, from the first.
        even: whether pictures follow each other at one rate, so that clips have a right place.
    """

    numbers: tuple[int, ...]
    times_s: tuple[float, ...]
    even: bool = True

    @classmethod
    def at_rate(cls, count: int, *, first: int = 0, rate: int | Fraction = 25) -> Self:
        """``count`` pictures, the first of which shows ``first``."""
        return cls(tuple(range(first, first + count)), tuple(float(n / Fraction(rate)) for n in range(count)))

    @property
    def rate(self) -> float:
        """Pictures a second on average; 0 where there is one."""
        return (len(self.numbers) - 1) / self.times_s[-1] if self.times_s[-1] else 0.0

    @property
    def duration_s(self) -> float:
        """Until the last picture ends, if it lasts as long as others do."""
        return self.times_s[-1] + (1 / self.rate if self.rate else 0.0)


@dataclass(frozen=True, slots=True)
class Clocks:
    """How a model looks along time: T frames a clip, ``stride`` frames apart."""

    frames: int
    stride: int

    @property
    def span(self) -> int:
        """Pictures of a clip."""
        return self.frames * self.stride


def post(client: httpx.Client, path: Path, **query: str) -> httpx.Response:
    """Send a file as the raw body."""
    headers = {"content-type": "application/octet-stream"}
    return client.post("/classify", params=query, content=path.read_bytes(), headers=headers)


def ask_whole(client: httpx.Client, path: Path, **query: str) -> httpx.Response:
    """Classify a file, with its sampled pictures and where each was taken."""
    return post(client, path, view_details="true", thumbnails="true", **query)


def ask_as_segment(client: httpx.Client, path: Path, **query: str) -> httpx.Response:
    """Classify a file as its own only segment."""
    return post(client, path, segments="1h", **query)


# What is wrong --------------------------------------------------------------------------------------


def wrong_clips(whole: Answer, film: Film, clocks: Clocks) -> list[str]:
    """Clips that do not go forward through the film, or lie elsewhere than a rule of sampling puts them."""
    wrong = []
    clips = clip_numbers(whole)
    total, temporal = len(film.numbers), len(clips)
    starts = []
    for place, clip in enumerate(clips):
        positions = _positions(clip, film)
        if positions is None:
            wrong.append(f"clip {place} has pictures that are not the film's: {clip}")
            continue
        starts.append(positions[0])
        steps = [after - before for before, after in pairwise(positions)]
        if min(steps) < 0:
            wrong.append(f"clip {place} goes back in time: {clip}")
        elif film.even and total >= clocks.span and not set(steps) <= {clocks.stride, clocks.stride + 1}:
            wrong.append(f"clip {place} does not go forward by {clocks.stride} or {clocks.stride + 1}: {clip}")
    if (
        film.even
        and len(starts) == temporal
        and not any(_near(starts, rule) for rule in _rules(total, temporal, clocks))
    ):
        wrong.append(f"clips begin at picture {starts} of {total}")
    return wrong


def wrong_times(whole: Answer, film: Film, tolerance_s: float = TIME_TOLERANCE_S) -> list[str]:
    """Sampled pictures whose time or index is not that of the picture shown."""
    said = [
        (number, item["index"], item["time_s"]) for number, item in zip(_shown(whole), whole["thumbnails"], strict=True)
    ]
    return _misplaced(said, film, tolerance_s)


def wrong_segments(cut: Answer, film: Film, tolerance_s: float = TIME_TOLERANCE_S) -> list[str]:
    """Segments, classified by the numbers model, with frames of other times or places, or with other ends."""
    wrong = []
    for segment in cut["segments"]:
        frames = segment["frames"]
        said = list(zip(_scored(frames), frames["index"], frames["time_s"], strict=True))
        wrong += _misplaced(said, film, tolerance_s)
        if not all(segment["start_s"] <= time < segment["end_s"] + TIME_TOLERANCE_S for time in frames["time_s"]):
            wrong.append(f"segment {segment['index']} has frames at {_few(frames['time_s'])} s")
    end_s = cut["segments"][-1]["end_s"]
    if film.rate and abs(end_s - film.duration_s) > _duration_slack(film):
        wrong.append(f"the last segment ends at {end_s:.3f} s, not at {film.duration_s:.3f}")
    return wrong[:4]


def _misplaced(said: Sequence[tuple[int, int | None, float]], film: Film, tolerance_s: float) -> list[str]:
    wrong = []
    for number, index, time_s in said:
        places = [place for place, shown in enumerate(film.numbers) if shown == number]
        if not places:
            wrong.append(f"picture {number} is not the film's")
            continue
        if all(abs(time_s - film.times_s[place]) > tolerance_s for place in places):
            wrong.append(f"picture {number} is shown at {film.times_s[places[0]]:.3f} s, not at {time_s:.3f}")
        if index is not None and index not in places:
            wrong.append(f"picture {number} has index {index}, not {places[0]}")
    return wrong[:3]


def wrong_facts(whole: Answer, film: Film) -> list[str]:
    """A count, rate or duration that is not the film's."""
    video, wrong = whole["video"], []
    if video["frame_count"] not in (None, len(film.numbers)):
        wrong.append(f"frame_count is {video['frame_count']}, not {len(film.numbers)}")
    if film.rate and video["fps"] is not None and abs(video["fps"] / film.rate - 1) > RATE_TOLERANCE:
        wrong.append(f"fps is {video['fps']:.3f}, not {film.rate:.3f}")
    said, known = video["duration_s"], film.rate > 0
    if known and said is not None and abs(said - film.duration_s) > _duration_slack(film):
        wrong.append(f"duration_s is {video['duration_s']:.3f}, not {film.duration_s:.3f}")
    return wrong


def said(answer: Answer) -> list[str]:
    """All warnings, of the video and of its segments."""
    segments = answer["segments"] or ()
    return [*answer["warnings"], *(text for segment in segments for text in segment["warnings"])]


def wrong_warnings(answer: Answer, expected: str | None) -> list[str]:
    """Warnings that nothing justifies, or that are missing; ``expected`` is a pattern, None where none is due."""
    texts = said(answer)
    if expected is None:
        return [f"warns for nothing: {text}" for text in texts]
    if not texts:
        return [f"no warning like {expected!r}"]
    return [f"another warning: {text}" for text in texts if not re.search(expected, text)]


def different_segment(whole: Answer, cut: Answer) -> list[str]:
    """Where the only segment of a film is answered otherwise than the film."""
    if len(cut["segments"]) != 1:
        return [f"{len(cut['segments'])} segments of 1h"]
    (segment,) = cut["segments"]
    wrong = []
    mine, its = whole["frames"], segment["frames"]
    if (mine is None) != (its is None):
        wrong.append("frames in one answer only")
    elif mine is not None:
        if not _close(mine["time_s"], its["time_s"], TIME_TOLERANCE_S):
            wrong.append(f"as a segment, frames are at {_few(its['time_s'])} s, not at {_few(mine['time_s'])}")
        pairs = zip(mine["index"], its["index"], strict=False)
        if any(a != b for a, b in pairs if a is not None and b is not None):
            wrong.append(f"as a segment, frames are {_few(its['index'])}, not {_few(mine['index'])}")
        if not _close(_by_label(mine), _by_label(its), SCORE_TOLERANCE):
            wrong.append("as a segment, frames have other scores")
    if not _close(_scores(whole), _scores(segment), SCORE_TOLERANCE):
        wrong.append(f"as a segment it is {_top(segment)}, as a whole {_top(whole)}")
    for name in ("frame_count", "fps", "duration_s"):
        if whole["video"][name] != cut["video"][name]:
            wrong.append(f"as a segment, {name} is {cut['video'][name]}, not {whole['video'][name]}")
    return wrong


# What was sampled -----------------------------------------------------------------------------------


def clip_numbers(whole: Answer) -> list[list[int]]:
    """The numbers that the frames of each clip show, ``[V_t][T]``; pictures of one time and index in either order."""
    shown: dict[tuple[int | None, float], list[int]] = {}
    for number, thumbnail in zip(_shown(whole), whole["thumbnails"], strict=True):
        shown.setdefault((thumbnail["index"], thumbnail["time_s"]), []).append(number)
    views = [view for view in whole["view_details"] if view["spatial"] == 0]
    return [[shown[frame["index"], frame["time_s"]][0] for frame in view["frames"]] for view in views]


def _shown(whole: Answer) -> Iterator[int]:
    for thumbnail in whole["thumbnails"]:
        yield read_number(np.asarray(Image.open(io.BytesIO(base64.b64decode(thumbnail["jpeg"]))).convert("RGB")))


def _scored(frames: Answer) -> Iterator[int]:
    """The number of each frame by the numbers model, whose labels are named after bits."""
    bits = [int(label.removeprefix("bit ")) for label in frames["labels"]]
    for row in frames["scores"]:
        yield sum((score > 0.5) << bit for bit, score in zip(bits, row, strict=True))


def _duration_slack(film: Film) -> float:
    return DURATION_TOLERANCE * film.duration_s + 1 / film.rate


def _positions(clip: Sequence[int], film: Film) -> list[int] | None:
    """Places of a clip's pictures in the film, each the next one behind the last where a number comes twice."""
    positions: list[int] = []
    for number in clip:
        places = [place for place, shown in enumerate(film.numbers) if shown == number]
        if not places:
            return None
        later = [place for place in places if not positions or place >= positions[-1]]
        positions.append(later[0] if later else places[-1])
    return positions


def _rules(total: int, temporal: int, clocks: Clocks) -> list[list[float]]:
    """Where clips begin, by the rules there are: the last one ends with the film, or before it does."""
    room = max(total - clocks.span, 0)
    return [[room * place / parts for place in range(temporal)] for parts in {temporal, max(temporal - 1, 1)}]


def _near(starts: Sequence[int], rule: Sequence[float]) -> bool:
    return all(abs(start - due) <= START_TOLERANCE for start, due in zip(starts, rule, strict=True))


def _scores(part: Answer) -> list[float]:
    return [item["score"] for item in sorted(part["predictions"], key=lambda item: str(item["label"]))]


def _top(part: Answer) -> str:
    return f"{part['predictions'][0]['label']} {part['predictions'][0]['score']:.3f}"


def _by_label(frames: Answer) -> list[float]:
    order = sorted(range(len(frames["labels"])), key=lambda place: str(frames["labels"][place]))
    return [row[place] for row in frames["scores"] for place in order]


def _close(a: Sequence[float], b: Sequence[float], tolerance: float) -> bool:
    return len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))


def _few(values: Sequence[object]) -> str:
    return " ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in values[:8])
