"""What all lines of a results file have in common: the model, its version, the views, and the length of segments.

Results of other settings must not be taken for results of this run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client._results import ModelInfo
from laps_client.cli.connection import required
from laps_client.cli.exit_status import wrong_use

_LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}
_SAME_S = 1e-3  # times in answers are rounded


@dataclass(frozen=True, slots=True)
class RunSegments:
    """How long the segments of a run are.

    ``length_s`` is None if a video was shorter than one segment, which was then ``at_least_s`` long.
    """

    length_s: float | None
    at_least_s: float = 0.0

    def agrees(self, other: RunSegments) -> bool:
        """Whether both may be the same length."""
        if self.length_s is None or other.length_s is None:
            known = self.length_s or other.length_s or math.inf
            return max(self.at_least_s, other.at_least_s) <= known + _SAME_S
        return abs(self.length_s - other.length_s) <= _SAME_S

    def __str__(self) -> str:
        return "in segments" if self.length_s is None else f"in segments of {self.length_s:g} s"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run; ``views`` as ``5x3``, ``segments`` None without them."""

    model: str
    version: int
    views: str
    segments: RunSegments | None = None

    def agrees(self, other: RunSettings) -> bool:
        """Whether a result of one is a result of the other."""
        if (self.model, self.version, self.views) != (other.model, other.version, other.views):
            return False
        if self.segments is None or other.segments is None:
            return self.segments is other.segments
        return self.segments.agrees(other.segments)

    def __str__(self) -> str:
        segments = "" if self.segments is None else f" {self.segments}"
        return f"{self.model} {self.version} at {self.views}{segments}"


def settings_of_row(row: Mapping[str, Any]) -> RunSettings | None:
    """The settings of a line's result; None where the line lacks them."""
    try:
        views = f"{row['views']['temporal']}x{row['views']['spatial']}"
        segments = row.get("segments")
        length = None if segments is None else _segment_length(segments)
        return RunSettings(str(row["model"]["name"]), int(row["model"]["version"]), views, length)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


async def requested_settings(client: AsyncLapsClient, options: Options) -> tuple[RunSettings, ModelInfo]:
    """The settings that the options ask for, with the server's defaults where they leave something out.

    Raises:
        CommandFailed: there is no such model or version, or no server.
    """
    name = options.get("model")
    if name is None:
        name = next(model.name for model in await required(client.models()) if model.default)
    model = await required(client.model(name, version=options.get("version")))
    segments = options.get("segments")
    length = None if segments is None else RunSegments(_length_s(str(segments)))
    return RunSettings(model.name, model.version, _plainly(options.get("views") or model.default_views), length), model


def check_agree(path: Path, found: Sequence[RunSettings], wanted: Sequence[RunSettings]) -> None:
    """Refuse a results file of other settings. Of several models, the order does not matter.

    Raises:
        CommandFailed: they differ.
    """
    pairs = zip(sorted(found, key=_of_model), sorted(wanted, key=_of_model), strict=False)
    if len(found) != len(wanted) or not all(one.agrees(other) for one, other in pairs):
        raise wrong_use(
            f"{path} holds results of {_together(found)}, not of {_together(wanted)}",
            "give each model, version, choice of views and length of segments a file of its own",
        )


def _of_model(settings: RunSettings) -> tuple[str, int]:
    return settings.model, settings.version


def _together(settings: Sequence[RunSettings]) -> str:
    return " with ".join(map(str, settings))


def pinned(options: Options, settings: RunSettings) -> Options:
    """The options with model and version named, so that one published meanwhile does not answer the rest."""
    return {**options, "model": settings.model, "version": settings.version}


def _segment_length(segments: list[Mapping[str, Any]]) -> RunSegments:
    """From the last segment, since segment k begins at k lengths; a first one may be cut by the video's end."""
    last = segments[-1]
    if last["index"] > 0:
        return RunSegments(float(last["start_s"]) / last["index"])
    return RunSegments(None, at_least_s=float(last["end_s"]))


def _length_s(text: str) -> float | None:
    """As the server reads it, which is left to refuse what is not a length."""
    found = _LENGTH.fullmatch(text)
    return None if found is None else float(found[1]) * _UNIT_S[found[2]]


def _plainly(views: str) -> str:
    """``05x3`` as the server writes it, ``5x3``; refusing what is not of that form is left to the server."""
    return "x".join(part.lstrip("0") for part in views.split("x"))
