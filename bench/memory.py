"""Resident memory of the server while many uploads of one length are in it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.loads import Load, send
from bench.measured import MemoryRun
from bench.servers import ROOT, serving
from bench.subjects import MEMORY_SUBJECT, upload

UPLOADS_AT_ONCE = (1, 2, 4, 8, 16, 32)


def measure(seconds: int, *, at_once: Sequence[int], step: Callable[[str], None]) -> MemoryRun:
    """A server of its own for each length, so that what one leaves behind is not another's."""
    video = upload(seconds).read_bytes()
    peaks = {}
    with serving(ROOT, MEMORY_SUBJECT.repository) as server:
        ready = server.resident_bytes
        for uploads in at_once:
            step(f"memory: {uploads} uploads of {seconds} s")
            server.forget_peak()
            send(server, Load(uploads, at_once=uploads), video, model=MEMORY_SUBJECT.name)
            peaks[uploads] = server.peak_bytes
    return MemoryRun(seconds, ready, peaks)
