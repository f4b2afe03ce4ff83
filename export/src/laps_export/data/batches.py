"""A stream of training batches, fixed by its seed, that a loader's workers can share.

Rendering is dearer than a mirror. So clips are made in blocks, and each one stands in several batches of its
block, every time under another symmetry. Block b of a seed is always the same, whoever makes it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from laps_export.data.camera_motion import CameraMotion
from laps_export.data.clip_settings import StreamSettings
from laps_export.data.clips import Clip, ClipMaker
from laps_export.data.symmetry import draw_symmetry


class Batch(NamedTuple):
    """Clips with what is known of them.

    Attributes:
        frames: uint8 `[B, T, N, N, 3]`.
        frame_labels: int64 `[B, T]`.
        labels: int64 `[B]`.
    """

    frames: Tensor
    frame_labels: Tensor
    labels: Tensor


BATCHES_A_BLOCK = 8


class BatchStream(IterableDataset[Batch]):
    """Endless batches; worker w of W makes the blocks w, w + W, ..."""

    def __init__(self, source: Callable[[], ClipMaker], settings: StreamSettings) -> None:
        """Build a stream.

        Args:
            source: builds the maker where the clips are made; it travels to the worker instead of the pictures.
            settings: how clips become batches.
        """
        super().__init__()
        self.source = source
        self.settings = settings
        self._maker: ClipMaker | None = None

    @property
    def maker(self) -> ClipMaker:
        """This process' own maker, built when first needed."""
        if self._maker is None:
            self._maker = self.source()
        return self._maker

    def __iter__(self) -> Iterator[Batch]:
        # The loader's processes share the cores with the training itself.
        cv2.setNumThreads(1)
        worker = get_worker_info()
        index, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        block = self.settings.first_block + index
        while True:
            yield from self.block(block)
            block += count

    def block(self, number: int) -> Iterator[Batch]:
        """The `BATCHES_A_BLOCK` batches of one block; clips are made when first needed."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, 3, number])
        fresh = settings.batch * BATCHES_A_BLOCK // settings.uses
        made: dict[int, Clip] = {}
        for row, order in enumerate(_draws(rng, fresh, settings)):
            done = number * BATCHES_A_BLOCK + row
            easy = settings.easy_batches
            difficulty = self.maker.settings.difficulty * (min(1.0, done / easy) if easy else 1.0)
            clips = []
            for clip in order:
                if clip not in made:
                    motion = CameraMotion((clip + number) % len(CameraMotion))
                    seed = [settings.seed, 5, number, clip]
                    made[clip] = self.maker.make(seed, motion=motion, difficulty=difficulty)
                clips.append(made[clip])
            yield _collate(clips, rng)


def _draws(rng: np.random.Generator, fresh: int, settings: StreamSettings) -> list[list[int]]:
    """Which clips stand in which batch: every clip `uses` times, never twice in one batch where avoidable."""
    passes = [rng.permutation(fresh) for _ in range(settings.uses)]
    order = np.concatenate(passes)[: settings.batch * BATCHES_A_BLOCK]
    return [[int(clip) for clip in row] for row in order.reshape(BATCHES_A_BLOCK, settings.batch)]


def _collate(clips: list[Clip], rng: np.random.Generator) -> Batch:
    frames, frame_labels, labels = [], [], []
    for clip in clips:
        symmetry = draw_symmetry(rng)
        frames.append(symmetry.frames(clip.frames))
        frame_labels.append(symmetry.labels(clip.frame_labels))
        labels.append(symmetry.relabel[clip.label])
    parts = (np.stack(part) for part in (frames, frame_labels, labels))
    return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


class _Worker(SpawnProcess):
    """A loader's process, which ends as a forked one does: without taking its interpreter apart.

    A thread of its own sends the batches, and copies each of them outside the interpreter's lock. Where the loader is
    closed meanwhile, that thread would ask an interpreter in ruins for the lock, which aborts the whole process
    ("terminate called without an active exception"), and the training with it.
    """

    def run(self) -> None:
        """Work until the loader is closed; what is not sent by then is not wanted."""
        super().run()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class _FreshProcesses(SpawnContext):
    """Forked processes would hang in thread pools that they inherit without their threads."""

    Process = _Worker


def loader(stream: BatchStream, *, workers: int) -> DataLoader[Batch]:
    """The stream behind `workers` processes; none makes the clips in this one."""
    if workers == 0:
        return DataLoader(stream, batch_size=None)
    context = _FreshProcesses()
    return DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=6, multiprocessing_context=context)
