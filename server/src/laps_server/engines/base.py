"""What runs a graph, seen from the scheduler: five members, and a contract for every adapter.

The contract: ``infer`` gets a batch of B clips and gives B rows of each output, same length, same order. It may be
awaited only between ``start`` and ``close``, with at most ``info.concurrency`` batches in flight. It never blocks the
event loop. Whatever it raises fails the views of that batch alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines.choices import Precision
from laps_server.engines.trial import Choice


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself and of the graph it runs.

    ``clip_shape`` is ``(T, H, W, 3)``; ``output_shape`` is ``(R, K)`` for logits of R frames or steps, ``(K,)`` for a
    clip's. ``embedding_size``: numbers of the second output's vector, None where the graph has none. ``concurrency``:
    batches that it takes at the same time. ``cancellable``: a batch can be taken back. ``in_process``: it takes turns
    with the other models' in the one thread of inference. ``precision``: what the graph is computed in.
    ``max_batch_views``: most views of a batch that pay, None for as many as it is given. ``choice``: why it runs the
    model, where a trial found that.
    """

    name: str
    device: str
    precision: Precision
    threads: int
    clip_shape: tuple[int, int, int, int]
    output_shape: tuple[int, ...]
    embedding_size: int | None = None
    concurrency: int = 1
    cancellable: bool = False
    in_process: bool = True
    max_batch_views: int | None = None
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class InferResult:
    """What a batch of B clips comes to: logits ``[B, *output_shape]``, and ``[B, D]`` where the graph gives it."""

    logits: Float32Array
    embedding: Float32Array | None = None


class Engine(Protocol):
    """Runs one version of one model."""

    @property
    def info(self) -> EngineInfo:
        """Shapes and device, valid from construction on."""
        ...

    @property
    def unavailable_reason(self) -> str | None:
        """Why batches would fail now for a cause outside of this process, or None."""
        ...

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Load the graph and run each batch size once, so that no request pays for it."""
        ...

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        """``[B, T, H, W, 3]`` uint8 RGB -> logits ``[B, *output_shape]`` and embedding ``[B, D]``, same order.

        The result is of no use after ``deadline``, a point of ``laps_server.observe.now()``.
        """
        ...

    async def close(self) -> None:
        """Free what ``start`` took; a batch in flight ends first."""
        ...
