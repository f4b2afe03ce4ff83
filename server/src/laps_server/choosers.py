"""Puts together what finds an engine for a model: its files, the settings, this machine, and the views that ship."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from laps_server import __version__
from laps_server.engines.base import Engine
from laps_server.engines.choice_cache import ChoiceCache, Key
from laps_server.engines.choices import GPU_BATCH_VIEWS, Candidate
from laps_server.engines.choose import Chooser
from laps_server.engines.chosen import ChosenEngine
from laps_server.engines.machine import Machine
from laps_server.engines.registry import ENGINES, candidates
from laps_server.models.repository import ModelFiles
from laps_server.scores import Scoring
from laps_server.settings import Settings
from laps_server.trial_views import trial_views, trial_views_sha256


def engine_for(files: ModelFiles, settings: Settings, machine: Machine, executor: ThreadPoolExecutor) -> Engine:
    """The engine that the settings leave, or one that is chosen when it starts.

    Raises:
        BadParameter: the settings leave none.
    """
    chooser = chooser_for(files, settings, machine, executor)
    if chooser.needs_trial:
        on_a_gpu = None if settings.device == "cpu" else GPU_BATCH_VIEWS
        return ChosenEngine(chooser, max_batch_views=settings.max_batch_views or on_a_gpu)
    return chooser.build(chooser.candidates[0])


def chooser_for(files: ModelFiles, settings: Settings, machine: Machine, executor: ThreadPoolExecutor) -> Chooser:
    """What finds the engine for one version of one model.

    Args:
        files: the model.
        settings: what the operator chose.
        machine: this one.
        executor: the thread of inference; stays the caller's.

    Raises:
        BadParameter: the settings leave none.
    """
    manifest = files.manifest
    found = candidates(manifest, settings, machine)
    exact = settings.model_copy(update={"precision": manifest.graph_precision})

    def build(candidate: Candidate) -> Engine:
        return ENGINES[candidate.engine].build(files, candidate.precision, settings, executor)

    return Chooser(
        name=f"{files.name} {files.version}",
        candidates=found,
        references=candidates(manifest, exact, machine),
        build=build,
        views=partial(asyncio.to_thread, trial_views, manifest),
        scoring=Scoring(manifest.activation, manifest.temperature, manifest.average),
        cache=ChoiceCache(settings.cache_dir),
        key=_key(files, found, settings, machine),
        pinned=settings.precision != "auto",
    )


def _key(files: ModelFiles, found: tuple[Candidate, ...], settings: Settings, machine: Machine) -> Key:
    """All that a choice depends on."""
    engines = dict.fromkeys(candidate.engine for candidate in found)
    return {
        "model": hashlib.sha256(repr(files.manifest).encode()).hexdigest(),
        "processor": machine.processor,
        "instruction_sets": hashlib.sha256(" ".join(sorted(machine.instruction_sets)).encode()).hexdigest(),
        "device": machine.device,
        "gpus": ", ".join(machine.gpus),
        "threads": str(settings.threads),
        "candidates": ", ".join(f"{candidate.engine} {candidate.precision}" for candidate in found),
        "versions": "; ".join([f"laps-server {__version__}", *(ENGINES[name].versions for name in engines)]),
        "views": trial_views_sha256(),
    }
