"""What engines of this process on the CPU have in common: one graph, run in the one thread that all of them share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.engines.base import EngineInfo, InferResult
from laps_server.engines.choices import EngineName, Precision
from laps_server.errors import InternalError, ModelCorrupt
from laps_server.models.repository import ModelFiles


class OneThreadEngine(ABC):
    """A graph in that thread; see :class:`laps_server.engines.base.Engine` for the contract.

    An adapter loads, runs and drops. The last two are called in the thread, never both at once, so that a graph is
    dropped after the batch in flight. A graph is loaded beside the thread, so that others answer meanwhile.
    """

    def __init__(
        self,
        files: ModelFiles,
        *,
        name: EngineName,
        precision: Precision,
        threads: int,
        executor: ThreadPoolExecutor,
    ) -> None:
        """Nothing is loaded before :meth:`start`.

        Args:
            files: the model.
            name: of the engine.
            precision: what the graph is computed in.
            threads: of inference.
            executor: the one thread; stays the caller's.
        """
        self._files = files
        self._graph = files.graph_of(precision)
        self._executor = executor
        self._info = EngineInfo(
            name=name,
            device="cpu",
            precision=precision,
            threads=threads,
            clip_shape=files.manifest.clip_shape,
            output_shape=files.manifest.output_shape,
            embedding_size=files.manifest.embedding_size,
        )

    @property
    def info(self) -> EngineInfo:
        """Shapes from the manifest; ``start`` refuses a graph that has others."""
        return self._info

    @property
    def unavailable_reason(self) -> str | None:
        """None: all of it is in this process."""
        return None

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Load the graph, check its shapes against the manifest, run every batch size once.

        Raises:
            DeviceMissing: what should run it cannot be used.
            ModelCorrupt: the graph cannot be loaded or is not what the manifest says.
        """
        await asyncio.to_thread(self._load)
        for size in batch_sizes:
            await self.infer(np.zeros((size, *self._info.clip_shape), np.uint8))

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:  # noqa: ARG002
        """See :meth:`laps_server.engines.base.Engine.infer`; a batch cannot be stopped, so its deadline is ignored."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, clips)

    async def close(self) -> None:
        """Drop everything after the batch in flight, which the one-thread executor orders."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)

    @abstractmethod
    def _load(self) -> None:
        """Load the graph, and refuse one that is not the manifest's; before anything is run."""

    @abstractmethod
    def _run(self, clips: UInt8Array) -> InferResult:
        """Run a batch ``[B, T, H, W, 3]``."""

    @abstractmethod
    def _drop(self) -> None:
        """Free what was loaded."""

    def _not_loaded(self) -> InternalError:
        return InternalError(f"{graph_name(self._files, self._graph)} is not loaded")


def graph_name(files: ModelFiles, graph: Path) -> str:
    """A graph as errors name it."""
    return f"{files.shown}/{graph.name}"


def tensor_differs(
    graph: str, what: str, *, name: str, kind: str, shape: tuple[int, ...], found: Iterable[str]
) -> ModelCorrupt:
    """The error of a graph whose inputs or outputs, as ``found`` describes them, lack one of the manifest's."""
    return ModelCorrupt(
        f"{graph} has no {what} {name!r} of {kind} [B, {', '.join(map(str, shape))}]; it has {', '.join(found)}",
        hint="the manifest beside it is of another model; export both together",
    )
