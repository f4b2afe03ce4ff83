"""What runs a graph, seen from the scheduler: four members, and a contract that every adapter keeps.

The contract: ``infer`` gets B clips and gives B results, same length, same order; it may be called only between
``start`` and ``close``; it never blocks the event loop; whatever it raises fails the views of that call alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from laps_server.clips import Float32Array, UInt8Array


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself and of the graph it runs.

    ``clip_shape`` is ``(T, H, W, 3)``; ``output_shape`` is ``(T, K)`` for per-frame logits, ``(K,)`` for a clip's.
    """

    name: str
    device: str
    threads: int
    clip_shape: tuple[int, int, int, int]
    output_shape: tuple[int, ...]


class Engine(Protocol):
    """Runs one version of one model."""

    @property
    def info(self) -> EngineInfo:
        """Shapes and device, valid from construction on."""
        ...

    async def start(self, batch_sizes: tuple[int, ...]) -> None:
        """Load the graph and run each batch size once, so that no request pays for it."""
        ...

    async def infer(self, clips: UInt8Array) -> Float32Array:
        """``[B, T, H, W, 3]`` uint8 RGB -> logits ``[B, *output_shape]`` float32, same order."""
        ...

    async def close(self) -> None:
        """Free what ``start`` took; a call in flight ends first."""
        ...
