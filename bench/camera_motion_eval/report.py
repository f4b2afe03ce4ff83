"""Answers and truth to figures and a page of Markdown: pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.camera_motion_eval.files import Truth
from bench.camera_motion_eval.moves import LABELS

CHANGE_MARGIN_S = 0.5
_BINS = 15


@dataclass(frozen=True)
class Answer:
    """What a server said of one file."""

    truth: Truth
    label: str
    confidence: float
    frame_times_s: tuple[float, ...]
    frame_labels: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the file's answer is its first motion."""
        return self.label == self.truth.moves[0].label


def render(answers: Sequence[Answer]) -> tuple[str, dict[str, Any]]:
    """The report and its figures."""
    single = [answer for answer in answers if len(answer.truth.moves) == 1]
    pairs = [answer for answer in answers if len(answer.truth.moves) > 1]
    low, high = wilson(sum(answer.right for answer in single), len(single))
    moving = [answer for answer in single if answer.truth.moves[0].speed > 0]
    slow = slowest_quarter(moving)
    frames = pair_frames(pairs)
    figures = {
        "files": len(single),
        "top1": share(single),
        "interval": [low, high],
        "per_class": {label: share([a for a in single if a.truth.moves[0].label == label]) for label in LABELS},
        "slowest_quarter": share(slow),
        "ece": calibration_error(single),
        "pair_files": len(pairs),
        "pair_frames": len(frames),
        "pair_frame_top1": sum(frames) / len(frames) if frames else math.nan,
    }
    lines = [
        f"{len(single)} files of one motion: top-1 {figures['top1']:.4f} (95 % interval {low:.4f} to {high:.4f}),"
        f" slowest quarter {figures['slowest_quarter']:.4f}, calibration error {figures['ece']:.4f}.",
        "",
        f"{len(pairs)} files of two motions: {len(frames)} frames farther than {CHANGE_MARGIN_S} s from the change,"
        f" {figures['pair_frame_top1']:.4f} of them right.",
        "",
        *_confusion(single),
        "",
        *_table("speed", moving, lambda a: f"{int(min(a.truth.speed_rank, 0.999) * 4) + 1} of 4"),
        "",
        *_table("codec", single, lambda a: f"{a.truth.codec} in {a.truth.container}"),
        "",
        *_table("frames a second", single, lambda a: f"{a.truth.rate:05.2f}"),
        "",
        *_table("size", single, lambda a: f"{a.truth.width} x {a.truth.height}"),
        "",
        *_table("made by", single, lambda a: a.truth.route),
        "",
        *_table("moving subject", single, lambda a: "yes" if a.truth.subject else "no"),
    ]
    return "\n".join(lines) + "\n", figures


def share(answers: Sequence[Answer]) -> float:
    """Of right answers; NaN for none."""
    return sum(answer.right for answer in answers) / len(answers) if answers else math.nan


def slowest_quarter(moving: Sequence[Answer]) -> list[Answer]:
    """The slowest quarter of each label's files."""
    slow = []
    for label in LABELS:
        members = sorted((a for a in moving if a.truth.moves[0].label == label), key=lambda a: a.truth.moves[0].speed)
        slow += members[: (len(members) + 3) // 4]
    return slow


def pair_frames(pairs: Sequence[Answer]) -> list[bool]:
    """Whether each frame's answer is the motion of its moment, away from the change."""
    right = []
    for answer in pairs:
        change = answer.truth.moves[0].end_s
        for time, label in zip(answer.frame_times_s, answer.frame_labels, strict=True):
            if abs(time - change) > CHANGE_MARGIN_S:
                right.append(label == answer.truth.moves[0 if time < change else 1].label)
    return right


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share."""
    if count == 0:
        return 0.0, 1.0
    centre = right / count + z * z / (2 * count)
    spread = z * math.sqrt(right / count * (1 - right / count) / count + z * z / (4 * count * count))
    return (centre - spread) / (1 + z * z / count), (centre + spread) / (1 + z * z / count)


def calibration_error(answers: Sequence[Answer]) -> float:
    """Mean distance of confidence and accuracy over bins of confidence."""
    bins: dict[int, list[Answer]] = {}
    for answer in answers:
        bins.setdefault(min(int(answer.confidence * _BINS), _BINS - 1), []).append(answer)
    gaps = [abs(sum(a.right for a in members) - sum(a.confidence for a in members)) for members in bins.values()]
    return sum(gaps) / len(answers) if answers else math.nan


def _confusion(answers: Sequence[Answer]) -> list[str]:
    counts = Counter((answer.truth.moves[0].label, answer.label) for answer in answers)
    lines = ["| truth \\ answer | " + " | ".join(LABELS) + " | right |", "|---" * (len(LABELS) + 2) + "|"]
    for truth in LABELS:
        row = [counts[truth, answer] for answer in LABELS]
        right = counts[truth, truth] / sum(row) if sum(row) else math.nan
        lines.append(f"| {truth} | " + " | ".join(str(count or "") for count in row) + f" | {right:.3f} |")
    return lines


def _table(title: str, answers: Sequence[Answer], key: Callable[[Answer], str]) -> list[str]:
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(key(answer), []).append(answer)
    lines = [f"| {title} | files | top-1 |", "|---|---|---|"]
    return lines + [f"| {name} | {len(groups[name])} | {share(groups[name]):.3f} |" for name in sorted(groups)]
