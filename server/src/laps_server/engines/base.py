"""What runs a graph, seen from the scheduler: five members, and a contract that every adapter keeps.

The contract: ``infer`` gets B clips and gives B results, same length, same order; it may be called only between
``start`` and ``close``, by at most ``info.calls_at_once`` at a time; it never blocks the event loop; whatever it raises
fails the views of that call alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from laps_server.arrays import Float32Array, UInt8Array


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself and of the graph it runs.

    ``clip_shape`` is ``(T, H, W, 3)``; ``output_shape`` is ``(T, K)`` for per-frame logits, ``(K,)`` for a clip's.
    ``cancellable``: a call that nobody wants any more can be taken back.
    """

    name: str
    device: str
    threads: int
    clip_shape: tuple[int, int, int, int]
    output_shape: tuple[int, ...]
    calls_at_once: int = 1
    cancellable: bool = False


class Engine(Protocol):
    """Runs one version of one model."""

    @property
    def info(self) -> EngineInfo:
        """Shapes and device, valid from construction on."""
        ...

    @property
    def unavailable_reason(self) -> str | None:
        """Why calls would fail now for a cause outside of this process, or None."""
        ...

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Load the graph and run each batch size once, so that no request pays for it."""
        ...

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> Float32Array:
        """``[B, T, H, W, 3]`` uint8 RGB -> logits ``[B, *output_shape]`` float32, same order.

        Nobody wants the result after ``deadline``, a point of ``laps_server.observe.now()``.
        """
        ...

    async def close(self) -> None:
        """Free what ``start`` took; a call in flight ends first."""
        ...
