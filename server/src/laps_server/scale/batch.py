"""Millions of videos classified offline, by Ray Data: names go in, rows come out.

::

    find_sources ─► without those that DEST holds ─► blocks of names
                                                        ▼ map_batches, by an autoscaling pool of actors
                           WritingClassifier: decode ─► infer ─► rows ─► a file in DEST
                                                        ▼
                                                  BatchProgress …

Ray schedules, across cores and machines, and gives a block to another actor where one is lost. Decoding and inference
of a video stay in one actor: its decoders are processes beside it, as many as it has cores, and pixels never pass
through the object store. A library: nothing is printed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.exceptions import RayError

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import InternalError
from laps_server.runtime import build_runtime
from laps_server.scale.classifier import Classifier, WritingClassifier, videos_in_flight
from laps_server.scale.ray_messages import reason_of, shorten_data_logs
from laps_server.scale.row_files import RowFiles
from laps_server.settings import Settings
from laps_server.view_grid import MAX_VIEWS

COLUMN = "path"
MAX_BLOCK_VIDEOS = 64
_BLOCKS = 64  # so many at least, where there are as many videos: for work to spread, and little to be lost
_BATCH_VIDEOS = 16
_INIT_DEATHS = 3  # of actors, one after the other: machines that go away are no reason to give up
_CALLS_IN_FLIGHT = 2  # of an actor: the next block begins while the last videos of one are still running


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorPool:
    """Who classifies: so many actors, each with so much of its machine.

    ``most`` of None is as many as the cluster has room for. Ray Data starts a lost actor again, here or on another
    machine, and gives it the blocks that were lost with it. Each machine fetches models from ``model_url``, where there
    is one, in place of the settings' folders.
    """

    least: int = 1
    most: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    model_url: str | None = None

    def strategy(self) -> ActorPoolStrategy:
        """As Ray Data has it."""
        return ActorPoolStrategy(
            min_size=self.least,
            max_size=self.most,
            max_concurrent_calls_per_actor=_CALLS_IN_FLIGHT,
            max_tasks_in_flight_per_actor=2 * _CALLS_IN_FLIGHT,  # with fewer Ray Data never adds an actor
            enable_true_multi_threading=True,
        )

    def settings(self, settings: Settings) -> Settings:
        """Of one actor: as many threads and decoders as it has cores, where the operator names no others."""
        cores = max(1, int(self.cpus))
        own = {name: cores for name in ("threads", "decode_workers") if name not in settings.model_fields_set}
        settings = settings.model_copy(update=own)
        queued_views = 2 * videos_in_flight(settings) * MAX_VIEWS  # room for all in flight: none is refused
        return settings.model_copy(
            update={
                "model_repository": tuple(folder.absolute() for folder in settings.model_repository),
                "max_queued_views": max(settings.max_queued_views, queued_views),
                "shadow": (),
            }
        )


def classify_dataset(
    videos: Dataset,
    *,
    settings: Settings,
    options: ClassifyOptions | None = None,
    column: str = COLUMN,
    actors: ActorPool | None = None,
    batch_size: int = _BATCH_VIDEOS,
) -> Dataset:
    """The rows of videos that a column of a data set names, in the columns of docs/batch.md.

    Lazy, as Ray Data is: nothing runs before the answer is consumed. A video that cannot be classified is a row with an
    error. Rows come in any order, unless the data context preserves it.

    Args:
        videos: with a path, as all machines have it, or a URL a row.
        settings: of the pipeline in each actor; models are read by each of them.
        options: what is asked of each video; the defaults of ``laps-server batch`` if not given.
        column: that names the videos.
        actors: who classifies.
        batch_size: videos of one call.
    """
    actors = actors or ActorPool()
    asked = ClassifyOptions(frames=False) if options is None else options
    return _mapped(videos, Classifier, (actors.settings(settings), actors.model_url, asked, column), actors, batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a job is. ``failures`` are those since the last one: path, code and message of each."""

    total: int
    skipped: int
    done: int = 0
    failed: int = 0
    rows: int = 0
    stopped: bool = False
    failures: tuple[tuple[str, str, str], ...] = ()

    @property
    def left(self) -> int:
        """Videos that have no row yet."""
        return self.total - self.skipped - self.done


def checked_options(settings: Settings, options: ClassifyOptions, *, all_labels: bool = False) -> ClassifyOptions:
    """The options with the model and the version that they mean; of every label where all are wanted.

    Raises:
        ModelError, BadRequest: the repository or the options are wrong.
    """
    runtime = build_runtime(settings)
    try:
        model, grid = runtime.served.resolve(options)
    finally:
        asyncio.run(runtime.close())
    top_k = len(model.files.labels) if all_labels else options.top_k
    return replace(options, model=model.files.name, version=model.files.version, views=grid, top_k=top_k)


def classify_into(
    files: RowFiles,
    videos: Sequence[str],
    *,
    settings: Settings,
    options: ClassifyOptions,
    actors: ActorPool | None = None,
    block_videos: int | None = None,
    retry_failed: bool = False,
    max_errors: int | None = None,
) -> Generator[BatchProgress, None, None]:
    """Classify what a destination does not hold yet; yields how far it is, first and after each block.

    Leaving early loses what is in flight alone. Whoever calls has Ray running (see ``ray_session.py``).

    Args:
        files: the destination.
        videos: what it is to hold rows of.
        settings: of the pipeline in each actor.
        options: from :func:`checked_options`, so that all runs and all actors ask the same.
        actors: who classifies.
        block_videos: videos of a block, and so of a file; by their number if not given, at most
            :data:`MAX_BLOCK_VIDEOS`.
        retry_failed: whether those that have a row of an error are done again.
        max_errors: stop once more than so many videos failed in this run.

    Raises:
        BadParameter: the destination holds rows of another question.
        InternalError: Ray gave up, as it does where no actor can start.
    """
    actors = actors or ActorPool()
    mine = files.begin(_question(options))
    done = mine.settle(forget_failed=retry_failed)
    waiting = [video for video in videos if video not in done.videos]
    progress = BatchProgress(total=len(videos), skipped=len(videos) - len(waiting))
    yield progress
    size = block_videos or max(1, min(MAX_BLOCK_VIDEOS, -(-len(waiting) // _BLOCKS)))
    constructor = (actors.settings(settings), actors.model_url, options, COLUMN, mine)
    # A block that every actor that tried it died of is tried once more, each video by itself.
    for block_size in dict.fromkeys((size, 1)):
        if not waiting:
            return
        told: set[str] = set()
        blocks = _in_blocks(waiting, block_size)
        # A batch is a block; its size is named, since Ray Data runs nothing on a GPU without one.
        for rows in _outcomes(_mapped(blocks, WritingClassifier, constructor, actors, block_size)):
            told.update(row["path"] for row in rows)
            progress = _after(progress, rows)
            if max_errors is not None and progress.failed > max_errors:
                yield replace(progress, stopped=True)
                return
            yield progress
        waiting = [video for video in waiting if video not in told]


def _mapped(
    videos: Dataset,
    classifier: type[Classifier],
    constructor: tuple[Any, ...],
    actors: ActorPool,
    batch_size: int,
) -> Dataset:
    return videos.map_batches(
        classifier,
        fn_constructor_args=constructor,
        compute=actors.strategy(),
        batch_size=batch_size,
        batch_format="pyarrow",
        num_cpus=actors.cpus,
        num_gpus=actors.gpus or None,
    )


def _in_blocks(videos: Sequence[str], size: int) -> Dataset:
    starts = range(0, len(videos), size)
    blocks = ray.data.from_arrow(
        [pa.table({COLUMN: pa.array(videos[start : start + size], pa.string())}) for start in starts]
    )
    context = blocks.context
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    shorten_data_logs()
    context.max_consecutive_actor_init_deaths = _INIT_DEATHS
    context.execution_no_progress_timeout_s = -1  # a block of long videos takes as long as it takes
    return blocks


def _outcomes(told: Dataset) -> Iterator[list[dict[str, Any]]]:
    """What a :class:`WritingClassifier` tells of each block, as blocks are done."""
    try:
        for batch in told.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield cast("pa.Table", batch).to_pylist()
    except RayError as exc:
        raise InternalError(
            f"Ray ended the job: {reason_of(exc)}", hint="the same command goes on where it ended"
        ) from exc


def _after(progress: BatchProgress, rows: Sequence[dict[str, Any]]) -> BatchProgress:
    failures = tuple(
        (row["path"], row["error_code"], row["error_message"]) for row in rows if row["error_code"] is not None
    )
    return replace(
        progress,
        done=progress.done + len(rows),
        failed=progress.failed + len(failures),
        rows=progress.rows + sum(row["rows"] for row in rows),
        failures=failures,
    )


def _question(options: ClassifyOptions) -> dict[str, Any]:
    """What makes rows of two runs comparable; where they were computed does not."""
    return {
        "model": options.model,
        "version": options.version,
        "top_k": options.top_k,
        "views": None if options.views is None else str(options.views),
        "frames": options.frames,
        "segments": None if options.segments is None else str(options.segments),
        "labels": list(options.labels),
        "embedding": options.embedding,
    }
