"""What a run measures, as plain data: written as JSON beside the figures, and read again by the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import Machine
from pydantic import TypeAdapter


@dataclass(frozen=True)
class Cost:
    """Of one clip: processor seconds of all processes, and wall seconds."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class EngineCost:
    """An engine alone on a clip's views, in the order of the rounds.

    ``why_not`` says why the server may not choose it: its answers differ, or nothing was recorded at export.
    """

    engine: str
    precision: str
    batch: int
    rounds: list[Cost]
    score_shift: float
    labels_changed: int
    why_not: str | None

    @property
    def name(self) -> str:
        """As the server would call it."""
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True)
class PeerCost:
    """A peer at its best setting; without rounds where ``refused`` says why it was not timed."""

    name: str
    setting: str
    swept: dict[str, float]  # processor seconds a clip by setting
    rounds: list[Cost]
    refused: str | None = None


@dataclass(frozen=True)
class Peak:
    """A library's product of two large matrices; ``rounds`` are of one product of ``gflop``."""

    library: str
    precision: str
    rounds: tuple[Cost, ...]
    gflop: float

    @property
    def name(self) -> str:
        """As it stands among what takes turns."""
        return f"peak {self.library} {self.precision}"


@dataclass(frozen=True)
class ModelRun:
    """Everything about one model; all lists of costs are in the order of the same rounds."""

    name: str
    views: int
    gmacs: float
    default_engine: str  # what the server answered with at its defaults: "ort float32"
    ours: list[Cost]
    ours_float32: list[Cost]
    peers: list[PeerCost]
    engines: list[EngineCost]
    decode: list[Cost]
    ffmpeg: list[Cost]
    ffmpeg_to_rgb: list[Cost]
    peaks: list[Peak]
    profile: dict[str, float] = field(default_factory=dict)  # share of the engine's time by kind of operation


@dataclass(frozen=True)
class MemoryRun:
    """Resident bytes of the server at so many uploads of one length at once."""

    seconds: int
    ready_bytes: int  # with its engine warmed, before the first upload
    peak_bytes: dict[int, int]  # by uploads at once


@dataclass(frozen=True)
class Run:
    """One run of the benchmark."""

    began: str
    quick: bool
    machine: Machine
    models: list[ModelRun]
    memory: list[MemoryRun]
    notes: list[str] = field(default_factory=list)


_ADAPTER = TypeAdapter(Run)


def write(run: Run, path: Path) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_ADAPTER.dump_json(run, indent=1) + b"\n")


def read(path: Path) -> Run:
    """What :func:`write` wrote."""
    return _ADAPTER.validate_json(path.read_bytes())
