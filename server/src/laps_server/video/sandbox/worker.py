"""A worker: decodes one video at a time, for as long as the gateway has one."""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Generator
from itertools import islice
from typing import Protocol

from laps_server.errors import DecoderCrashed, InternalError, LapsError
from laps_server.part import Part
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox import wire
from laps_server.video.sandbox.page import ProgressPage

_LOG = logging.getLogger(__name__)


class Extract(Protocol):
    """As :func:`laps_server.video.extract.extract_parts`."""

    def __call__(
        self,
        file: int,
        options: ExtractOptions,
        *,
        limits: MediaLimits,
        threads: int,
        should_stop: Callable[[], bool],
    ) -> Generator[Part, None, None]:
        """Decode, and yield what is asked for."""
        ...


def serve(channel: socket.socket, page: ProgressPage, extract: Extract) -> None:
    """Take jobs until the gateway is gone."""
    while True:
        message, descriptors = wire.receive(channel)
        if not message:
            return
        try:
            _decode(channel, page, extract, wire.read_job(message), descriptors[0])
        finally:
            wire.close_all(descriptors)


def _decode(channel: socket.socket, page: ProgressPage, extract: Extract, job: wire.DecodeJob, upload: int) -> None:
    """Answer the job, and every ``next``, with a Part, until there is none more, or until it is told to stop."""
    steps = extract(upload, job.options, limits=job.limits, threads=job.threads, should_stop=page.step)
    # Of at most two, and not under a name: it would be held while the next one is decoded.
    decoded: deque[Part] = deque()
    try:
        while True:
            page.step()
            if not decoded:
                decoded.extend(islice(steps, 1))
            if not decoded:
                break
            # Behind the one that ends the video, see that it does: that costs less than to be asked for it.
            if decoded[0].ends_video:
                decoded.extend(islice(steps, 1))
            is_last = decoded[0].ends_video and len(decoded) == 1
            wire.send_part(channel, decoded.popleft(), is_last=is_last)
            if is_last:
                return
            if wire.receive(channel)[0] != wire.NEXT:
                break
        wire.send(channel, wire.END)
    except BaseException as exc:
        wire.send_error(channel, _told(exc))
        if not isinstance(exc, Exception):
            raise
    finally:
        steps.close()


def _told(exc: BaseException) -> LapsError:
    if isinstance(exc, LapsError):
        return exc
    if isinstance(exc, MemoryError):
        return DecoderCrashed("decoding the video needs more memory than a decoder may take")
    _LOG.error("decoding failed", exc_info=exc)
    return InternalError("decoding failed")
