"""What an actor of a batch job holds: the whole pipeline, built once, asked about many videos at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from laps_server.classify_options import ClassifyOptions
from laps_server.errors import InternalError
from laps_server.logs import configure_logging
from laps_server.observe import RequestClock
from laps_server.offline import classify_opened
from laps_server.runtime import Runtime, build_runtime
from laps_server.scale.batch_rows import error_row, rows_of, table_of
from laps_server.scale.model_store import fetched_repository
from laps_server.scale.row_files import RowFiles
from laps_server.scale.video_sources import open_video
from laps_server.settings import Settings

_LEAST_IN_FLIGHT = 4  # the decoder has the next one, and views of several share batches
_IN_FLIGHT_A_DECODER = 2  # one is decoded, and one waits for the engine: so that many decoders keep one GPU busy

MAX_ATTEMPTS = 4
"""At a block, in one run: machines go away, and a video may take down each process that meets it."""

_OUTCOMES = pa.schema(
    [("path", pa.string()), ("rows", pa.int64()), ("error_code", pa.string()), ("error_message", pa.string())]
)


def videos_in_flight(settings: Settings) -> int:
    """Of one actor, at most; as many as its decoders ask for, where it has several."""
    return max(_LEAST_IN_FLIGHT, _IN_FLIGHT_A_DECODER * settings.decode_workers)


def with_models(settings: Settings, model_url: str | None) -> Settings:
    """The settings with the repository that is fetched from ``model_url``, once a machine.

    Raises:
        ModelError, BadParameter: it cannot be fetched.
    """
    if model_url is None:
        return settings
    return settings.model_copy(update={"model_repository": (fetched_repository(model_url, settings.cache_dir),)})


class Classifier:
    """Batches of videos to their rows; as many batches at a time as ask.

    The pipeline has a thread of its own with an event loop, which never stops between batches.
    """

    def __init__(self, settings: Settings, model_url: str | None, options: ClassifyOptions, column: str) -> None:
        """Build and start the pipeline.

        Raises:
            ModelError: a model cannot be served here, or not be fetched.
        """
        settings = with_models(settings, model_url)
        configure_logging("error", settings.log_format)
        self._options = options
        self._column = column
        self._copies: Path | None = settings.upload_dir
        self._in_flight = asyncio.Semaphore(videos_in_flight(settings))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pipeline", daemon=True)
        self._thread.start()
        self._runtime: Runtime = build_runtime(settings)
        asyncio.run_coroutine_threadsafe(self._runtime.start(), self._loop).result()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The rows of the videos that a column of ``batch`` names, in their order."""
        return table_of(self._rows(batch[self._column].to_pylist()))

    def close(self) -> None:
        """End the pipeline and the processes that decode."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._runtime.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __del__(self) -> None:
        # Ray drops what an actor holds when its work is done, and says so in no other way.
        if hasattr(self, "_runtime"):
            self.close()

    def _rows(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        return asyncio.run_coroutine_threadsafe(self._classify(paths), self._loop).result()

    async def _classify(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        groups = await asyncio.gather(*map(self._classify_one, paths))
        return [row for rows in groups for row in rows]

    async def _classify_one(self, path: str) -> list[dict[str, Any]]:
        async with self._in_flight:
            clock = RequestClock(path)
            opening = partial(open_video, path, self._copies)
            answer = await classify_opened(self._runtime, opening, self._options, clock)
            return await asyncio.to_thread(rows_of, path, answer, clock.elapsed_s)


class WritingClassifier(Classifier):
    """Rows go from where they are made into a file; what is returned tells of each video how it went."""

    def __init__(
        self, settings: Settings, model_url: str | None, options: ClassifyOptions, column: str, files: RowFiles
    ) -> None:
        super().__init__(settings, model_url, options, column)
        self._files = files

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Classify and write; the file is there before anybody is told. Of a block that is given up nothing is told.

        A block is given up that every process died of which tried it; a video that is a block by itself is an error.
        """
        paths = batch[self._column].to_pylist()
        if self._files.attempt(paths) <= MAX_ATTEMPTS:
            rows = self._rows(paths)
        elif len(paths) == 1:
            rows = [error_row(paths[0], InternalError("each process died that classified it"))]
        else:
            return _OUTCOMES.empty_table()
        self._files.write(paths, table_of(rows))
        counts = Counter(row["path"] for row in rows)
        errors = {row["path"]: row for row in rows if row.get("error_code")}
        outcomes = [
            {
                "path": path,
                "rows": counts[path],
                "error_code": errors.get(path, {}).get("error_code"),
                "error_message": errors.get(path, {}).get("error_message"),
            }
            for path in paths
        ]
        return pa.Table.from_pylist(outcomes, schema=_OUTCOMES)
