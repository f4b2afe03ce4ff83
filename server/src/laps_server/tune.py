"""Every way to run each model, tried now: what ``laps-server tune`` shows, and what the next start finds in its cache.

A library: it yields what it finds and prints nothing; ``cli_output.py`` prints it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from laps_server.choosers import chooser_for
from laps_server.engines.machine import Machine, this_machine
from laps_server.engines.registry import engine_rows
from laps_server.engines.trial import Choice
from laps_server.errors import ModelNotFound
from laps_server.models.repository import ModelFiles, discover
from laps_server.runtime import runnable
from laps_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found for one version of one model."""

    files: ModelFiles
    machine: Machine
    choice: Choice


async def tune(settings: Settings, *, model: str | None = None) -> AsyncIterator[Tuned]:
    """Try all candidates of all models, or of one, and keep what is found for the next start.

    Raises:
        ModelError: there is no model, or one that nothing runs.
        ModelNotFound: ``model`` is not there.
        BadParameter: the settings leave no engine.
    """
    found = runnable(discover(*settings.model_repository, versions=settings.versions), engine_rows(settings))
    wanted = [files for files in found if model in (None, files.name)]
    if not wanted:
        names = ", ".join(sorted({files.name for files in found}))
        raise ModelNotFound(f"no model {model!r} is there", hint=f"models: {names}")
    machine = this_machine(settings.device)
    with ThreadPoolExecutor(1, thread_name_prefix="infer") as executor:
        for files in wanted:
            choice = await chooser_for(files, settings, machine, executor).try_now(thorough=True)
            yield Tuned(files, machine, choice)
