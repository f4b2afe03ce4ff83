"""One model's part of a run: the peers are tried, then servers, engines and decoders take turns, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from bench.loads import Load, send
from bench.measured import Cost, EngineCost, ModelRun, Peak
from bench.peer_trial import tried, warm
from bench.plan import Plan, Progress
from bench.servers import ROOT, Server, Setting, serving, serving_peer
from bench.subjects import Subject, clip

from bench import bare, decoding, peak
from laps_server.arrays import Float64Array
from laps_server.engines.trial import shift
from laps_server.scores import Scoring, clip_logits
from laps_server.view_options import view_options

AT_ONCE = 4  # requests on their way: enough that decoders and engine always have work
BATCHES = (1, 4)  # of an engine alone; none holds more views than the manifest's max_batch
TIMED_S = 1.5  # of an engine alone in a round, and at least one batch; counted for all views
DECODES = 10  # of a clip in a round
PRODUCTS = 3
FLOAT32_ORT = {"LAPS_ENGINE": "ort", "LAPS_PRECISION": "float32"}

Turn = Callable[[], Cost]


@dataclass(frozen=True)
class _OpenEngine:
    engine: bare.BareEngine
    batches: int  # run in a round
    cost: EngineCost  # still without rounds


class ModelMeasurement:
    """Measures one model on the benchmark's clip."""

    def __init__(self, subject: Subject, plan: Plan, progress: Progress) -> None:
        self._subject, self._plan, self._progress = subject, plan, progress
        self._files = subject.files
        self._path = clip()
        self._video = self._path.read_bytes()
        self._options = view_options(self._files.manifest, self._files.manifest.grid)
        self._parts = decoding.extract(self._path, self._options)
        self._views = decoding.views_of(self._parts)  # [V, T, H, W, 3]
        self._frames = decoding.Plan.of(self._path, self._parts)

    def run(self, peers: tuple[str, ...]) -> ModelRun:
        """All of it; ``peers`` are those that can run here."""
        name, step = self._subject.name, self._progress.step
        with ExitStack() as stack:
            step(f"{name}: our server")
            ours_float32 = stack.enter_context(serving(ROOT, self._subject.repository, FLOAT32_ORT))
            right = warm(ours_float32, 1, self._video, model=name)
            trials = [
                tried(
                    peer,
                    self._files.graph.parent,
                    self._video,
                    right=right,
                    settings=self._plan.settings,
                    step=step,
                )
                for peer in peers
            ]
            for trial in trials:
                if trial.cost.refused is not None:
                    self._progress.say(f"{name}: {trial.cost.name} is not timed: {trial.cost.refused}")
            ours = stack.enter_context(serving(ROOT, self._subject.repository))
            answered = warm(ours, 1, self._video, model=name)
            default = f"{answered.engine or 'ort'} {answered.precision or 'float32'}"
            step(f"{name}: engines alone")
            engines = self._open_engines()
            turns = {
                "ours": self._serves(ours, name),
                "ours float32": self._serves(ours_float32, name),
                **{
                    trial.cost.name: self._serves(self._started(trial.cost.name, trial.setting, stack))
                    for trial in trials
                    if trial.setting is not None
                },
                **{opened.cost.name: self._runs(opened) for opened in engines},
                **self._decodes(),
            }
            peaks = self._peaks({default.partition(" ")[2], "float32"})
            turns |= {one.name: act for one, act in peaks.items()}
            rounds: dict[str, list[Cost]] = {what: [] for what in turns}
            for number in range(self._plan.rounds):
                step(f"{name}: round {number + 1} of {self._plan.rounds}")
                for what, act in turns.items():
                    rounds[what].append(act())
        return ModelRun(
            name=name,
            views=len(self._views),
            gmacs=0.0 if (cost := self._files.manifest.cost) is None else cost.gmacs,
            default_engine=default,
            ours=rounds["ours"],
            ours_float32=rounds["ours float32"],
            peers=[replace(trial.cost, rounds=rounds.get(trial.cost.name, [])) for trial in trials],
            engines=[replace(opened.cost, rounds=rounds[opened.cost.name]) for opened in engines],
            decode=rounds["decode"],
            ffmpeg=rounds["ffmpeg"],
            ffmpeg_to_rgb=rounds["ffmpeg to rgb"],
            peaks=[replace(one, rounds=tuple(rounds[one.name])) for one in peaks],
            profile=self._profile(engines, default),
        )

    def _started(self, peer: str, setting: Setting, stack: ExitStack) -> Server:
        server = stack.enter_context(serving_peer(peer, self._files.graph.parent, setting))
        warm(server, setting.workers, self._video)
        return server

    def _serves(self, server: Server, model: str = "") -> Turn:
        load = Load(self._subject.requests, at_once=min(AT_ONCE, self._subject.requests))
        return lambda: send(server, load, self._video, model=model)

    def _open_engines(self) -> list[_OpenEngine]:
        """Every candidate at its better batch size, compared with the first, which is the reference."""
        manifest = self._files.manifest
        scoring = Scoring(manifest.activation, manifest.temperature, manifest.average)
        sizes = [batch for batch in BATCHES if batch <= min(manifest.max_batch or max(BATCHES), len(self._views))]
        opened: list[_OpenEngine] = []
        reference: Float64Array | None = None
        for candidate in bare.candidates(manifest):
            threads = self._plan.threads
            tries = {size: bare.opened(candidate, self._files, threads=threads, batch=size) for size in sizes}
            costs: dict[int, float] = {}
            for batch, engine in tries.items():
                engine.run(self._views[:batch])  # the first run allocates
                costs[batch] = _spent(lambda: self._run_batches(engine, batch, 2)).cpu_s / 2  # noqa: B023 - at once
            batch = min(costs, key=lambda size: costs[size] / size)
            batches = max(1, int(TIMED_S / max(costs[batch], 1e-3)))
            logits = np.concatenate([tries[1].run(view[None]) for view in self._views])
            scores = scoring.probabilities(clip_logits(logits))  # [V, K]
            reference = scores if reference is None else reference
            found = shift(reference, scores)
            why_not = bare.why_not(candidate, manifest, found)
            cost = EngineCost(
                candidate.engine, candidate.precision, batch, [], found.largest, found.labels_changed, why_not
            )
            opened.append(_OpenEngine(tries[batch], batches, cost))
        return opened

    def _run_batches(self, engine: bare.BareEngine, batch: int, batches: int) -> None:
        for number in range(batches):
            at = number * batch % (len(self._views) - batch + 1)
            engine.run(self._views[at : at + batch])

    def _runs(self, opened: _OpenEngine) -> Turn:
        batch, batches = opened.cost.batch, opened.batches
        factor = len(self._views) / (batches * batch)
        return lambda: _scaled(_spent(lambda: self._run_batches(opened.engine, batch, batches)), factor)

    def _decodes(self) -> dict[str, Turn]:
        path, frames = self._path, self._frames
        acts: dict[str, Callable[[], object]] = {
            "decode": lambda: decoding.extract(path, self._options),
            "ffmpeg": lambda: decoding.ffmpeg(path, frames, to_rgb=False),
            "ffmpeg to rgb": lambda: decoding.ffmpeg(path, frames, to_rgb=True),
        }
        return {what: _repeated(act, DECODES) for what, act in acts.items()}

    def _peaks(self, precisions: set[str]) -> dict[Peak, Turn]:
        return {
            Peak(library, precision, (), peak.GFLOP): _repeated(product, PRODUCTS)
            for precision in sorted(precisions)
            for library, product in peak.products(precision, self._plan.threads).items()
        }

    def _profile(self, engines: list[_OpenEngine], default: str) -> dict[str, float]:
        for opened in engines:
            if opened.cost.name == default:
                return opened.engine.profile(self._views[: opened.cost.batch])
        return {}


def _spent(act: Callable[[], object]) -> Cost:
    """Of something in this process."""
    cpu_before, began = time.process_time(), time.perf_counter()
    act()
    wall_s = time.perf_counter() - began
    return Cost(time.process_time() - cpu_before, wall_s)


def _scaled(cost: Cost, factor: float) -> Cost:
    return Cost(cost.cpu_s * factor, cost.wall_s * factor)


def _repeated(act: Callable[[], object], times: int) -> Turn:
    """One of ``times`` in a row."""
    return lambda: _scaled(_spent(lambda: [act() for _ in range(times)]), 1 / times)
