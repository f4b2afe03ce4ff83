"""An engine that sleeps a second a clip, and the replica and the actor that run it; no setting can choose them.

All else of the pipeline is as it is: uploads, decoders, the scheduler, rows. With nothing to compute, two cores can
show what eight machines would do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from laps_server import runtime
from laps_server.api.proxied_app import ProxiedApp
from laps_server.arrays import UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.fake import FakeEngine
from laps_server.models.repository import ModelFiles
from laps_server.scale import batch, serve
from laps_server.scale.classifier import WritingClassifier
from laps_server.scale.replica import Replica

CLIP_S = 1.0


class SleepingEngine(FakeEngine):
    """One clip after the other, each a second; wall time that no processor is needed for."""

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        """Sleep, then the fake engine's answer."""
        await asyncio.sleep(CLIP_S * len(clips))
        found = await super().infer(clips, deadline=deadline)
        self.batches.clear()
        return found


class StandInReplica(Replica):
    """A gateway on the sleeping engine."""

    async def __serve_build_asgi_app__(self) -> ProxiedApp:
        """As without it."""
        _take_over()
        return await super().__serve_build_asgi_app__()


class StandInClassifier(WritingClassifier):
    """An actor of a batch job on the sleeping engine."""

    def __init__(self, *arguments: Any) -> None:
        _take_over()
        super().__init__(*arguments)


@contextmanager
def stand_ins() -> Iterator[None]:
    """What is deployed and what is mapped within this context, by this process, sleeps."""
    with (
        mock.patch.object(serve, "Replica", StandInReplica),
        mock.patch.object(batch, "WritingClassifier", StandInClassifier),
    ):
        yield


def _take_over() -> None:
    """Of the process of one replica or actor alone."""
    mock.patch.object(runtime, "engine_for", _sleeping).start()


def _sleeping(files: ModelFiles, *_: object) -> SleepingEngine:
    clip = files.manifest.clip_shape
    return SleepingEngine(clip_shape=clip, classes=len(files.labels))
