"""An engine that is chosen when it starts, by trying what there is, and is that engine from then on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from laps_server.arrays import UInt8Array
from laps_server.engines.base import Engine, EngineInfo, InferResult
from laps_server.engines.choices import DEFAULT_BATCH_VIEWS
from laps_server.engines.choose import Chooser, return_freed_memory


class ChosenEngine:
    """See :class:`laps_server.engines.base.Engine` for the contract."""

    def __init__(self, chooser: Chooser, *, max_batch_views: int | None) -> None:
        """Nothing is tried before :meth:`start`; until then it says of itself what the first candidate would.

        Args:
            chooser: what chooses.
            max_batch_views: the operator's, or None for each engine's own.
        """
        self._chooser = chooser
        self._max_batch_views = max_batch_views
        self._engine: Engine = chooser.build(chooser.candidates[0])
        self._info = self._engine.info

    @property
    def info(self) -> EngineInfo:
        """Of the one that was chosen, with why it was."""
        return self._info

    @property
    def unavailable_reason(self) -> str | None:
        """That of the one that was chosen."""
        return self._engine.unavailable_reason

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Choose, then start what was chosen with the batch sizes that pay for it.

        Raises:
            ModelError: no candidate runs the model.
        """
        choice = await self._chooser.choose()
        engine = self._chooser.build(choice.candidate)
        most = self._max_batch_views or DEFAULT_BATCH_VIEWS[choice.candidate.engine]
        self._engine = engine
        self._info = replace(engine.info, choice=choice, max_batch_views=most)
        await engine.start(tuple(size for size in batch_sizes if size <= most))
        await asyncio.to_thread(return_freed_memory)

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        """By the one that was chosen."""
        return await self._engine.infer(clips, deadline=deadline)

    async def close(self) -> None:
        """Free the one that was chosen; a trial closes what it tried itself."""
        await self._engine.close()
