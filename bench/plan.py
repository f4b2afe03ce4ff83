"""How much a run measures, and whom it tells of its steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Protocol

from bench.memory import UPLOADS_AT_ONCE
from bench.servers import PEERS, Setting
from bench.subjects import SUBJECTS, UPLOADS_S, Subject


class Progress(Protocol):
    """Told of every step, and of what is worth a line."""

    def step(self, what: str) -> None:
        """A step is done, and the next one is ``what``."""
        ...

    def say(self, text: str) -> None:
        """Something that belongs above the bar."""
        ...


@dataclass(frozen=True)
class Plan:
    """``settings`` are those that each peer is tried with; ``threads`` is what every engine gets."""

    subjects: tuple[Subject, ...]
    peers: tuple[str, ...]
    settings: tuple[Setting, ...]
    rounds: int
    upload_seconds: tuple[int, ...]
    uploads_at_once: tuple[int, ...]
    threads: int

    @property
    def steps(self) -> int:
        """How many there are."""
        a_model = len(self.peers) * len(self.settings) + self.rounds + 3
        return 1 + a_model * len(self.subjects) + len(self.upload_seconds) * len(self.uploads_at_once)


def full_plan() -> Plan:
    """What the table is filled from."""
    cores = available_cores()
    settings = (Setting(1, cores, 1), Setting(1, cores, 4), Setting(1, cores, 16), Setting(cores, 1, 4))
    return Plan(
        SUBJECTS, PEERS, settings, rounds=3, upload_seconds=UPLOADS_S, uploads_at_once=UPLOADS_AT_ONCE, threads=cores
    )


def quick_plan() -> Plan:
    """Whether everything works: one round of the smallest model, and few uploads."""
    cores = available_cores()
    smallest = replace(SUBJECTS[-1], requests=4)
    return Plan(
        (smallest,),
        PEERS,
        (Setting(1, cores, 4),),
        rounds=1,
        upload_seconds=UPLOADS_S[:2],
        uploads_at_once=UPLOADS_AT_ONCE[:2],
        threads=cores,
    )


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))
