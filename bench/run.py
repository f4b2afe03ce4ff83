"""One run of the benchmark, from a plan to everything that it measured."""

from __future__ import annotations

from datetime import UTC, datetime

from bench.machine import describe
from bench.measured import MemoryRun, Run
from bench.model_run import ModelMeasurement
from bench.plan import Plan, Progress
from bench.servers import why_peer_cannot_run
from bench.subjects import make_models

from bench import memory


def measure(plan: Plan, progress: Progress, *, quick: bool) -> Run:
    """Make what is missing, then measure all of it; what cannot be run is among the notes."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    machine = describe()
    progress.say(machine.line)
    progress.step("models and videos")
    make_models()
    missing = {name: why for name in plan.peers if (why := why_peer_cannot_run(name)) is not None}
    notes = [f"{name} was not run: {why}" for name, why in missing.items()]
    for note in notes:
        progress.say(note)
    peers = tuple(name for name in plan.peers if name not in missing)
    models = [ModelMeasurement(subject, plan, progress).run(peers) for subject in plan.subjects]
    uploads: list[MemoryRun] = []
    for seconds in plan.upload_seconds:
        uploads.append(memory.measure(seconds, at_once=plan.uploads_at_once, step=progress.step))
    return Run(began, quick, machine, models, uploads, notes)
