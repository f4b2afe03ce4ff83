"""From what a run measured to the table of the benchmark: ratios, and what each must reach.

Pure functions of plain data. Every figure is a ratio of one run, of processor seconds; beside it stands the same ratio
of wall seconds. A ratio of two lists of rounds is the median of the ratios round by round, so that what else the
machine did in a round falls on both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.machine import Machine
from bench.measured import Cost, EngineCost, MemoryRun, ModelRun, PeerCost, Run

SHARE_OF_BOUND = 0.85
# The best peer's processor seconds over ours that bf16 without AMX must reach, whatever the bound.
FLOORS = {"laps": 1.5, "i3d-kinetics400": 2.0, "camera-motion": 1.3}
MAX_OVERHEAD, MAX_OVER_BARE, MIN_OF_PEAK, MAX_OVER_FFMPEG, MAX_GROWTH = 0.5, 1.05, 0.7, 1.15, 1.15

MIB = 2**20
PAGE = 4096  # no memory is counted in less

Clock = Callable[[Cost], float]


def cpu(cost: Cost) -> float:
    """Processor seconds."""
    return cost.cpu_s


def wall(cost: Cost) -> float:
    """Wall seconds."""
    return cost.wall_s


@dataclass(frozen=True)
class Figure:
    """One cell of the table; ``value`` is NaN where it could not be measured, and then it is no pass."""

    title: str
    subject: str
    value: float
    wall_value: float
    limit: float
    sense: Literal[">=", "<="]
    how: str

    @property
    def reached(self) -> bool:
        """Whether the value is on the right side of its limit."""
        return self.value >= self.limit if self.sense == ">=" else self.value <= self.limit


def figures(run: Run) -> list[Figure]:
    """The whole table."""
    found = [figure for model in run.models for figure in of_model(model, run.machine)]
    return found + (memory(run.memory) if run.memory else [])


def of_model(model: ModelRun, machine: Machine) -> list[Figure]:
    """One model's rows, those that could be measured."""
    found = []
    peer = best_peer(model)
    if peer is not None:
        found += [against_peer(model, peer, machine), overhead(model, peer)]
    engine = default_engine(model)
    if engine is not None:
        found.append(over_bare(model, engine))
        found += [of_peak(model, engine)] if any(one.precision == engine.precision for one in model.peaks) else []
    return [*found, over_ffmpeg(model)]


def best_peer(model: ModelRun) -> PeerCost | None:
    """The peer that costs the least processor seconds."""
    timed = [peer for peer in model.peers if peer.rounds]
    return min(timed, key=lambda peer: median(peer.rounds, cpu), default=None)


def fastest_engine(model: ModelRun) -> EngineCost:
    """The fastest of those that the server may choose."""
    return min(
        (engine for engine in model.engines if engine.why_not is None), key=lambda engine: median(engine.rounds, cpu)
    )


def default_engine(model: ModelRun) -> EngineCost | None:
    """The one that the server answered with at its defaults."""
    return next((engine for engine in model.engines if engine.name == model.default_engine), None)


def against_peer(model: ModelRun, peer: PeerCost, machine: Machine) -> Figure:
    """The best peer's cost over ours, defaults on both sides."""
    engine = fastest_engine(model)
    bare = _sums(model.decode, engine.rounds)
    bound = ratio(peer.rounds, bare, cpu)
    floor = FLOORS.get(model.name, 0.0) if machine.has_bf16_without_amx else 0.0
    limit = max(SHARE_OF_BOUND * bound, floor)
    parts = [f"{peer.name} over ours; bound {bound:.2f} by {engine.name}", f"ours runs {model.default_engine}"]
    parts += [f"floor {floor:g}"] if floor else []
    return Figure(
        "best peer's processor seconds a clip ÷ ours",
        model.name,
        ratio(peer.rounds, model.ours, cpu),
        ratio(peer.rounds, model.ours, wall),
        limit,
        ">=",
        "; ".join(parts),
    )


def overhead(model: ModelRun, peer: PeerCost) -> Figure:
    """What ours costs beside the bare views over what the peer does, both on ONNX Runtime at float32."""
    views = next(engine.rounds for engine in model.engines if engine.name == "ort float32")

    def share(clock: Clock) -> tuple[float, float, float]:
        ours = _median_difference(model.ours_float32, views, clock)
        theirs = _median_difference(peer.rounds, views, clock)
        return (max(ours, 0.0) / theirs if theirs > 0 else math.nan), ours, theirs

    value, ours, theirs = share(cpu)
    return Figure(
        "ours beside the bare views ÷ the peer's",
        model.name,
        value,
        share(wall)[0],
        MAX_OVERHEAD,
        "<=",
        f"{ours * 1000:.0f} ms and {theirs * 1000:.0f} ms of {peer.name}; ONNX Runtime float32",
    )


def over_bare(model: ModelRun, engine: EngineCost) -> Figure:
    """Over HTTP and saturated, over decoding and views alone."""
    bare = _sums(model.decode, engine.rounds)
    return Figure(
        "processor seconds a clip over HTTP, saturated ÷ (bare decode + bare views)",
        model.name,
        ratio(model.ours, bare, cpu),
        math.nan,  # decoder and engine overlap in the server: wall seconds say something else
        MAX_OVER_BARE,
        "<=",
        f"{median(model.ours, cpu):.3f} s and {median(bare, cpu):.3f} s; {engine.name}",
    )


def of_peak(model: ModelRun, engine: EngineCost) -> Figure:
    """The engine's GFLOP/s over the fastest matrix product's."""
    gflop = 2 * model.gmacs * model.views
    of_library = [peak for peak in model.peaks if peak.precision == engine.precision]
    best = max(of_library, key=lambda peak: peak.gflop / median(peak.rounds, cpu))

    def speeds(clock: Clock) -> tuple[float, float]:
        return gflop / median(engine.rounds, clock), best.gflop / median(best.rounds, clock)

    reached, peak = speeds(cpu)
    walls = speeds(wall)
    spent = ", ".join(f"{name} {share:.0%}" for name, share in list(model.profile.items())[:4])
    how = f"{reached:.0f} of {peak:.0f} GFLOP a processor second ({best.library}), {engine.name}"
    return Figure(
        "engine's GFLOP/s ÷ the machine's peak",
        model.name,
        reached / peak,
        walls[0] / walls[1],
        MIN_OF_PEAK,
        ">=",
        f"{how}; its time: {spent}" if spent else how,
    )


def over_ffmpeg(model: ModelRun) -> Figure:
    """Selective decode, which ends in resized RGB, over FFmpeg's decoding of the same frames alone."""
    return Figure(
        "selective decode ÷ FFmpeg decoding the same frames",
        model.name,
        ratio(model.decode, model.ffmpeg, cpu),
        ratio(model.decode, model.ffmpeg, wall),
        MAX_OVER_FFMPEG,
        "<=",
        f"{median(model.decode, cpu) * 1000:.1f} ms, which end in resized RGB; "
        f"over FFmpeg's way to RGB of the same size as the video: {ratio(model.decode, model.ffmpeg_to_rgb, cpu):.2f}",
    )


def memory(runs: Sequence[MemoryRun]) -> list[Figure]:
    """What a slot takes: at the most uploads at once over at one, and for the longest videos over the shortest."""
    short, long = min(runs, key=lambda run: run.seconds), max(runs, key=lambda run: run.seconds)
    least, most = min(short.peak_bytes), max(short.peak_bytes)
    worst = max(runs, key=lambda run: _a_slot(run, most) / _a_slot(run, least))
    return [
        _slots(f"memory a slot, {most} uploads ÷ {least}", (worst, most), (worst, least)),
        _slots(f"memory a slot, videos of {long.seconds} s ÷ {short.seconds} s", (long, most), (short, most)),
    ]


def _slots(title: str, above: tuple[MemoryRun, int], below: tuple[MemoryRun, int]) -> Figure:
    one, other = _a_slot(*above), _a_slot(*below)
    return Figure(
        title,
        "server",
        one / other if other > 0 else math.nan,
        math.nan,
        MAX_GROWTH,
        "<=",
        f"{one / MIB:.1f} MiB a slot at {above[1]} uploads of {above[0].seconds} s, {other / MIB:.1f} at {below[1]} of "
        f"{below[0].seconds} s; {above[0].ready_bytes / MIB:.0f} MiB with the engine ready",
    )


def _a_slot(run: MemoryRun, uploads: int) -> float:
    return max(run.peak_bytes[uploads] - run.ready_bytes, PAGE) / uploads


def median(costs: Sequence[Cost], clock: Clock) -> float:
    """Of the rounds."""
    return statistics.median(map(clock, costs))


def ratio(above: Sequence[Cost], below: Sequence[Cost], clock: Clock) -> float:
    """The median of the ratios round by round; NaN where a round took no time that can be measured."""
    pairs = [(clock(one), clock(other)) for one, other in zip(above, below, strict=True)]
    return statistics.median(one / other for one, other in pairs) if all(other > 0 for _, other in pairs) else math.nan


def _median_difference(costs: Sequence[Cost], less: Sequence[Cost], clock: Clock) -> float:
    return statistics.median(clock(one) - clock(other) for one, other in zip(costs, less, strict=True))


def _sums(some: Sequence[Cost], others: Sequence[Cost]) -> list[Cost]:
    return [Cost(one.cpu_s + other.cpu_s, one.wall_s + other.wall_s) for one, other in zip(some, others, strict=True)]
