"""What a batch job spends before its first video, where much is done already: on each file, and of memory."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from laps_server.errors import BadParameter
from laps_server.scale.batch import MAX_BLOCK_VIDEOS
from laps_server.scale.batch_rows import error_row, table_of
from laps_server.scale.row_files import RowFiles

FILES = 500


@dataclass(frozen=True)
class Resumed:
    """Processor seconds of a file of rows on a local disk, and bytes of what is known of a video then."""

    file_s: float
    video_bytes: float


def measured(folder: Path) -> Resumed:
    """Write files as large as a job's largest, then ask what is done: once for time, once for memory."""
    files = RowFiles(str(folder / "rows")).begin({})
    for block in range(FILES):
        names = [f"s3://bucket/clips/2026/{block:06}/{one:04}-of-a-camera.mp4" for one in range(MAX_BLOCK_VIDEOS)]
        files.write(names, table_of([error_row(name, BadParameter("a row")) for name in names]))
    began = time.process_time()
    files.settle()
    spent = time.process_time() - began
    tracemalloc.start()
    try:
        files.settle()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Resumed(spent / FILES, most / (FILES * MAX_BLOCK_VIDEOS))
