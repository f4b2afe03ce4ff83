"""How accurate a model is on labelled videos: counts, Wilson intervals, classes, confusions. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution
TOP = 5


@dataclass(frozen=True, slots=True)
class ScoredVideo:
    """One video: its true label, and the labels that the model ranks highest, best first."""

    truth: int
    ranked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Proportion:
    """``right`` of ``of``."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """From 0 to 1; 0 of nothing."""
        return self.right / self.of if self.of else 0.0

    def interval(self) -> tuple[float, float]:
        """Where the true proportion lies with 95 %, by Wilson's score."""
        return wilson(self.right, self.of)

    def to_dict(self) -> dict[str, float | int]:
        """For JSON."""
        low, high = self.interval()
        return {"value": self.value, "low": low, "high": high, "right": self.right, "of": self.of}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything counted. ``top5`` is None where the model has no more than five labels."""

    top1: Proportion
    top5: Proportion | None
    classes: dict[int, Proportion]
    confusions: list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class ManifestAccuracy:
    """A top-k accuracy that the model's manifest claims: where it stands there, and its value from 0 to 1."""

    where: str
    top: int
    value: float


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion, 95 %.

    Unlike the usual ± it stays between 0 and 1, and it holds for few videos and for proportions near 0 and 1 too.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if of == 0:
        return 0.0, 1.0
    share = right / of
    shrink = 1 + _Z95**2 / of
    centre = (share + _Z95**2 / (2 * of)) / shrink
    half = _Z95 * math.sqrt(share * (1 - share) / of + _Z95**2 / (4 * of**2)) / shrink
    # Exactly the ends where the share is: rounding would leave 1e-17 beside them.
    return (0.0 if right == 0 else centre - half), (1.0 if right == of else centre + half)


def report(scored: Iterable[ScoredVideo], *, label_count: int) -> Report:
    """Count; classes and confusions as they occur, the most frequent confusion first."""
    of: Counter[int] = Counter()
    right: Counter[int] = Counter()
    wrong: Counter[tuple[int, int]] = Counter()
    right5 = 0
    for item in scored:
        of[item.truth] += 1
        right5 += item.truth in item.ranked[:TOP]
        if item.ranked[0] == item.truth:
            right[item.truth] += 1
        else:
            wrong[item.truth, item.ranked[0]] += 1
    total = of.total()
    return Report(
        top1=Proportion(right.total(), total),
        top5=Proportion(right5, total) if label_count > TOP else None,
        classes={label: Proportion(right[label], of[label]) for label in sorted(of)},
        confusions=[
            (truth, said, count) for (truth, said), count in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
        ],
    )


def worst(classes: Mapping[int, Proportion], most: int) -> list[tuple[int, Proportion]]:
    """The classes that are right least often; among equals, those with more videos first."""
    return sorted(classes.items(), key=lambda item: (item[1].value, -item[1].of, item[0]))[:most]


def manifest_accuracies(metrics: Mapping[str, Any], prefix: str = "") -> list[ManifestAccuracy]:
    """Every ``top1`` and ``top5`` in a manifest's metrics, however deep; numbers over 1 are percent."""
    found = []
    for key, value in metrics.items():
        name = str(key).lower().replace("_", "").replace("-", "")
        if isinstance(value, Mapping):
            found += manifest_accuracies(value, f"{prefix}{key}.")
        elif name in ("top1", "top5") and isinstance(value, int | float) and not isinstance(value, bool):
            share = value / 100 if value > 1 else float(value)
            if 0 <= share <= 1:
                found.append(ManifestAccuracy(f"{prefix}{key}", int(name[-1]), share))
    return found


def place_of_accuracy(accuracy: ManifestAccuracy, measured: Sequence[Proportion | None]) -> str | None:
    """Where a claim lies: ``below``, ``within`` or ``above`` the interval measured; None if nothing was."""
    share = measured[0 if accuracy.top == 1 else 1]
    if share is None or share.of == 0:
        return None
    low, high = share.interval()
    return "below" if accuracy.value < low else "above" if accuracy.value > high else "within"
