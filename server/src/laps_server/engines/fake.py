"""An engine without a graph, for tests and for trying the gateway: logits are a plain function of the pixels.

It records the batches it was given and can be held, slowed or made to fail, so that tests of everything above an
engine need no model.
"""

from __future__ import annotations

import asyncio

import numpy as np

from laps_server.arrays import UInt8Array
from laps_server.engines.base import EngineInfo, InferResult


class FakeEngine:
    """Per-frame logits ``[B, T, K]`` that depend on each frame's mean colour and on nothing else in the batch.

    With an ``embedding_size``, a clip's embedding is its mean colour, repeated.
    """

    def __init__(
        self,
        *,
        clip_shape: tuple[int, int, int, int],
        classes: int,
        embedding_size: int | None = None,
        concurrency: int = 1,
        cancellable: bool = False,
    ) -> None:
        self._info = EngineInfo(
            name="fake",
            device="none",
            precision="float32",
            threads=0,
            clip_shape=clip_shape,
            output_shape=(clip_shape[0], classes),
            embedding_size=embedding_size,
            concurrency=concurrency,
            cancellable=cancellable,
        )
        self.batches: list[UInt8Array] = []
        self.deadlines: list[float | None] = []
        self.cancelled = 0
        self.unavailable_reason: str | None = None
        self.failure: Exception | None = None
        self.running = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def info(self) -> EngineInfo:
        """The shapes given at construction."""
        return self._info

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Nothing to load."""

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        """Record the batch, wait for ``gate``, raise ``failure`` if set, else compute the logits."""
        self.batches.append(clips.copy())
        self.deadlines.append(deadline)
        self.running.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        mean = clips.mean(axis=(2, 3), dtype=np.float64) / 255  # [B, T, 3]
        phases = np.arange(self._info.output_shape[-1], dtype=np.float64)  # [K]
        wave = np.sin(mean[..., :1] * (phases + 1) + mean[..., 1:2] * phases**2 + mean[..., 2:3])  # [B, T, K]
        size = self._info.embedding_size
        embedding = None if size is None else np.resize(mean.mean(axis=1).T, (size, len(clips))).T  # [B, D]
        return InferResult(wave.astype(np.float32), None if embedding is None else embedding.astype(np.float32))

    async def close(self) -> None:
        """Let a held batch go, so that nothing waits for ever."""
        self.gate.set()
