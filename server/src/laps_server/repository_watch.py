"""Keeps what is served in step with the model repository, while requests are answered.

::

    a folder appears ──► unchanged for two looks ──► hashes match ──► there is room ──► loaded, warmed, one view run
                                                                                              │
    the version before it: no new request ──► its last one ends ──► closed ◄── requests get the new one

Whatever is wrong on the way leaves what is served as it is, and is told: in the log, by ``GET /models``, ``/readyz``
and metrics. A version that was refused is looked at again when its files change, or when somebody asks for it.

A number stands for one content. Other files under a number that is served are refused: answers name the version that
gave them, and so do metrics and results files of clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from dataclasses import dataclass, field

import numpy as np

from laps_server.engines.base import Engine
from laps_server.engines.choose import return_freed_memory
from laps_server.errors import InternalError, LapsError, ModelCorrupt, NoModels, VersionChanged
from laps_server.models.manifest import Manifest
from laps_server.models.repository import ModelFiles, Ref, Stamp, VersionFolder, shown
from laps_server.observe import Loaded, NoObserver, Observer, now
from laps_server.served_models import ServedModel, ServedModels
from laps_server.trial_views import trial_views

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailedVersion:
    """A version of the repository that is not as it should be, by the code and the message of an error."""

    name: str
    version: int
    code: str
    message: str

    @property
    def ref(self) -> str:
        """As ``name/version``."""
        return shown((self.name, self.version))


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look at the repository led to; versions as ``name/version``."""

    added: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What became of a version with these files."""

    stamp: Stamp
    failure: FailedVersion | None = None


class RepositoryWatch:
    """Looks at the repository every few seconds, and whenever it is asked to.

    Args:
        served: what is served.
        find: the versions that should be; runs in a thread.
        build: one of them, not loaded; None where no engine that is set up runs its format.
        check_room: raises NotEnoughMemory where there is none for it.
        interval_s: between two looks; 0 for none but those that are asked for.
        observer: gets what is loaded.
    """

    def __init__(
        self,
        served: ServedModels,
        *,
        find: Callable[[], tuple[VersionFolder, ...]],
        build: Callable[[ModelFiles], ServedModel | None],
        check_room: Callable[[ModelFiles], None],
        interval_s: float,
        observer: Observer | None = None,
    ) -> None:
        self._served = served
        self._find = find
        self._build = build
        self._check_room = check_room
        self._interval_s = interval_s
        self._observer = observer or NoObserver()
        self._judged = {model.key: _Judged(model.files.stamp) for model in served.versions}
        self._seen: dict[Ref, Stamp] = {ref: judged.stamp for ref, judged in self._judged.items()}
        self._looking = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._kept: list[FailedVersion] = []  # gone, and still served
        self._trouble = ""

    @property
    def failed(self) -> tuple[FailedVersion, ...]:
        """What is wrong in the repository, in order of name and version."""
        refused = [judged.failure for judged in self._judged.values() if judged.failure is not None]
        return tuple(sorted([*refused, *self._kept], key=lambda item: (item.name, item.version)))

    def start(self) -> None:
        """Look from now on; what is served has been loaded."""
        if self._interval_s > 0:
            self._polling = asyncio.create_task(self._poll(), name="repository")

    async def close(self) -> None:
        """Look no more; what is being loaded is given up, what drains is left to whoever closes what is served."""
        tasks = [*self._draining, *([self._polling] if self._polling is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self, *, settled: bool = False) -> Changes:
        """Make what is served what the repository holds, as far as that can be.

        Args:
            settled: whether whoever asks knows that nothing is being copied. Then nothing has to stay unchanged for
                two looks, and what was refused is tried again.

        Raises:
            NoModels: there is none at all, which may be a disk that is not mounted: everything stays as it is.
        """
        async with self._looking:
            found = {item.ref: item for item in await asyncio.to_thread(self._find)}
            changes = Changes()
            for ref, item in found.items():
                judged = self._judged.get(ref)
                if judged is not None and judged.stamp == item.stamp and not (settled and judged.failure):
                    continue
                if (settled or self._seen.get(ref) == item.stamp) and await self._judge(item):
                    changes.added.append(shown(ref))
            self._judged = {ref: judged for ref, judged in self._judged.items() if ref in found}
            self._kept = []
            for model in self._not_wanted(found.keys(), settled=settled):
                self._retire(model, changes)
            self._seen = {ref: item.stamp for ref, item in found.items()}
            return changes

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            trouble = ""
            try:
                await self.look()
            except (LapsError, OSError) as exc:
                trouble = str(exc)
                if trouble != self._trouble:
                    _LOG.error("the model repository cannot be looked at, and what is served stays: %s", exc)
            except Exception:  # a defect here must not end the polling
                _LOG.exception("looking at the model repository failed")
            self._trouble = trouble

    # One version -------------------------------------------------------------------------------------

    async def _judge(self, item: VersionFolder) -> bool:
        """Serve a version, if it is new and right; whether it was added."""
        began = now()
        failure = None
        is_new = False
        try:
            is_new = await self._bring(item)
        except Exception as exc:  # whatever is wrong with one version must not touch the others
            failure = _failure(item, exc)
            hint = f" ({exc.hint})" if isinstance(exc, LapsError) and exc.hint else ""
            _LOG.error("%s is not served: %s%s", failure.ref, failure.message, hint, exc_info=_unexpected(exc))
        if is_new or failure is not None:
            code = None if failure is None else failure.code
            self._observer.observe(Loaded(shown(item.ref), now() - began, code))
        if is_new:
            _LOG.info("serving %s after %.1f s", shown(item.ref), now() - began)
        self._judged[item.ref] = _Judged(item.stamp, failure)
        return is_new

    async def _bring(self, item: VersionFolder) -> bool:
        files = await asyncio.to_thread(item.read)
        for model in self._served.versions:
            if model.key == item.ref:
                if model.files.manifest != files.manifest:
                    raise VersionChanged(
                        f"the files of {model.ref} are others than those that are served under this number",
                        hint="give them the next number, or restart the server",
                    )
                return False
        added = self._build(files)
        if added is None:
            return False
        self._check_room(files)
        _LOG.info("loading %s", added.ref)

        async def check(engine: Engine) -> None:
            await _check_answer(engine, files.manifest)

        await self._served.add(added, check=check)
        return True

    # What is there no more ---------------------------------------------------------------------------

    def _not_wanted(self, found: Set[Ref], *, settled: bool) -> list[ServedModel]:
        """Served versions that are not to be served: they are gone, or another has taken their place."""
        served = {model.key for model in self._served.versions}
        unwanted = []
        for model in self._served.versions:
            # A folder may be gone for the moment in which another is put in its place.
            if model.key in found or (model.key in self._seen and not settled):
                continue
            others = {ref for ref in found if ref[0] == model.name}
            if not others or others & served:
                unwanted.append(model)
        return unwanted

    def _retire(self, model: ServedModel, changes: Changes) -> None:
        if self._served.is_needed(model):
            message = "it is gone, and still served: nothing else answers requests that name no model"
            self._kept.append(FailedVersion(model.name, model.version, NoModels.code, message))
            return
        self._served.withdraw(model)
        changes.retired.append(model.ref)
        _LOG.info("%s takes no new request", model.ref)
        draining = asyncio.create_task(self._drain(model), name=f"drain {model.ref}")
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)

    async def _drain(self, model: ServedModel) -> None:
        try:
            await self._served.close_drained(model)
        except Exception:  # nobody waits for this task
            _LOG.exception("closing %s failed", model.ref)
            return
        await asyncio.to_thread(return_freed_memory)
        _LOG.info("%s is closed", model.ref)


async def _check_answer(engine: Engine, manifest: Manifest) -> None:
    """Run one real view.

    Raises:
        ModelCorrupt: what comes of it is no answer.
    """
    views = await asyncio.to_thread(trial_views, manifest)
    result = await engine.infer(views[:1])
    outputs = [result.logits, *([] if result.embedding is None else [result.embedding])]
    if not all(np.isfinite(output).all() for output in outputs):
        raise ModelCorrupt("its numbers for a real view are not finite", hint="export the model again")


def _failure(item: VersionFolder, exc: Exception) -> FailedVersion:
    code, message = (exc.code, exc.message) if isinstance(exc, LapsError) else (InternalError.code, str(exc))
    # Engines name the file that they could not load, and clients are not told where it lies.
    for folder in {item.model.parent.resolve(), item.model.parent}:
        message = message.replace(f"{folder}/", "")
    return FailedVersion(*item.ref, code, message)


def _unexpected(exc: Exception) -> Exception | None:
    return None if isinstance(exc, LapsError) else exc
