"""What the lines of a results file have in common: one model, one version, one choice of views, one of segments.

Lines that answer another question must not pass for answers to this one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client._results import ModelInfo
from laps_client.cli.connection import asked
from laps_client.cli.exit_status import wrong_use

_LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}
_SAME_S = 1e-3  # times in answers are rounded


@dataclass(frozen=True, slots=True)
class SegmentLength:
    """In segments of ``length_s``; of a video that is shorter than one of them only ``at_least_s`` is known."""

    length_s: float | None
    at_least_s: float = 0.0

    def agrees(self, other: SegmentLength) -> bool:
        """Whether both may be of one length."""
        if self.length_s is None or other.length_s is None:
            known = self.length_s or other.length_s or math.inf
            return max(self.at_least_s, other.at_least_s) <= known + _SAME_S
        return abs(self.length_s - other.length_s) <= _SAME_S

    def __str__(self) -> str:
        return "in segments" if self.length_s is None else f"in segments of {self.length_s:g} s"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What was asked of each file; ``views`` as ``5x3``, ``segments`` None without them."""

    model: str
    version: int
    views: str
    segments: SegmentLength | None = None

    def agrees(self, other: RunSettings) -> bool:
        """Whether an answer to one is an answer to the other."""
        if (self.model, self.version, self.views) != (other.model, other.version, other.views):
            return False
        if self.segments is None or other.segments is None:
            return self.segments is other.segments
        return self.segments.agrees(other.segments)

    def __str__(self) -> str:
        segments = "" if self.segments is None else f" {self.segments}"
        return f"{self.model} {self.version} at {self.views}{segments}"


def settings_of_row(row: Mapping[str, Any]) -> RunSettings | None:
    """What a line answers; None where it does not tell."""
    try:
        views = f"{row['views']['temporal']}x{row['views']['spatial']}"
        segments = row.get("segments")
        told = None if segments is None else _segmented(segments)
        return RunSettings(str(row["model"]["name"]), int(row["model"]["version"]), views, told)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


async def requested_settings(client: AsyncLapsClient, options: Options) -> tuple[RunSettings, ModelInfo]:
    """What the options ask for, with the server's defaults in the place of what they leave out.

    Raises:
        CommandFailed: there is no such model or version, or no server.
    """
    name = options.get("model")
    if name is None:
        name = next(model.name for model in await asked(client.models()) if model.default)
    model = await asked(client.model(name, version=options.get("version")))
    segments = options.get("segments")
    told = None if segments is None else SegmentLength(_length_s(str(segments)))
    return RunSettings(model.name, model.version, _plainly(options.get("views") or model.default_views), told), model


def check_agrees(path: Path, found: RunSettings, wanted: RunSettings) -> None:
    """Refuse to go on with results of another kind.

    Raises:
        CommandFailed: they are.
    """
    if not found.agrees(wanted):
        raise wrong_use(
            f"{path} holds results of {found}, not of {wanted}",
            "give each model, version, choice of views and length of segments a file of its own",
        )


def pinned(options: Options, kind: RunSettings) -> Options:
    """The options with the model's version named: one that is put in place meanwhile must not answer the rest."""
    return {**options, "model": kind.model, "version": kind.version}


def _segmented(segments: list[Mapping[str, Any]]) -> SegmentLength:
    """By the last segment, since segment k begins at k lengths; the first alone may be cut by the video's end."""
    last = segments[-1]
    if last["index"] > 0:
        return SegmentLength(float(last["start_s"]) / last["index"])
    return SegmentLength(None, at_least_s=float(last["end_s"]))


def _length_s(text: str) -> float | None:
    """As the server reads it; what is no length is the server's to refuse."""
    found = _LENGTH.fullmatch(text)
    return None if found is None else float(found[1]) * _UNIT_S[found[2]]


def _plainly(views: str) -> str:
    """``05x3`` as the server writes it, ``5x3``; what is no grid is the server's to refuse."""
    return "x".join(part.lstrip("0") for part in views.split("x"))
