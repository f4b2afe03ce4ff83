"""Which files to classify: those named, and in named folders those with the name of a video."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from laps_client.cli.exit_status import wrong_use

_SUFFIXES = "3g2 3gp asf avi dv f4v flv gif m2ts m4v mkv mov mp4 mpeg mpg mts ogg ogv ts vob webm wmv"
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())


def check_paths(paths: Sequence[Path]) -> None:
    """Refuse a path that is not there, before anything is sent.

    Raises:
        CommandFailed: naming the path.
    """
    for path in paths:
        if not path.exists():
            raise wrong_use(f"{path} is not there", "give video files, or folders that hold some")


def find_videos(paths: Iterable[Path], on_error: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Files as given, whatever their name; folders are searched recursively, in the order of names.

    Only one folder's names are in memory at a time. Hidden files, pipes and devices are left out, and links to folders
    are not followed. A folder that cannot be read is passed to ``on_error``.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path, on_error)
        else:
            yield path


def location_of(path: str | os.PathLike[str]) -> str:
    """A file's absolute path, by which runs in different folders know it.

    Links among its folders are resolved, so that ``..`` after one means what it means to the system. A link as the file
    itself is not, since what it points to may change.
    """
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - called for every file


def is_video_name(name: str) -> bool:
    """Whether a name in a folder is a video's; copies in progress are mostly hidden or have another suffix."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122 - no Path


def _in_folder(folder: Path, on_error: Callable[[OSError], object] | None) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(filter(is_video_name, names)):
            path = Path(parent, name)
            if not _is_special(path):
                yield path


def _is_special(path: Path) -> bool:
    """Whether it is a pipe or a device, from which a read may wait for ever."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nothing is an unreadable file later
        return False
