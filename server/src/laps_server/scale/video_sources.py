"""Where a batch job's videos are: a file, a folder, a pattern, a bucket, or a list in a CSV or Parquet file.

Videos are named by texts: a path of this machine, absolute, or a URL of another place. They are the same in every run,
since a run that goes on knows by them what is done.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from errno import EDQUOT, ENOSPC
from pathlib import Path, PurePosixPath

import fsspec
import pyarrow as pa
from fsspec.core import has_magic
from pyarrow import csv, parquet

from laps_server.errors import BadParameter, LapsError, StorageFull
from laps_server.offline import VIDEO_SUFFIXES, find_videos

_LIST_SUFFIXES = (".csv", ".parquet")
_FILE_SCHEMES = ("file://", "local://")
_COPIED_BYTES = 2**20
_FULL = {ENOSPC, EDQUOT}


def find_sources(source: str, *, column: str = "path") -> list[str]:
    """The videos that ``source`` means, each once, in a fixed order.

    A folder is searched for names that videos have, a pattern takes the files that it matches, and a list is read from
    the column ``column``. What a list names by a relative path lies beside the list.

    Raises:
        BadParameter: it is not there, names no video, or is a list without that column.
    """
    place = _without_file_scheme(source)
    try:
        if place.lower().endswith(_LIST_SUFFIXES):
            found = _in_list(place, column)
        elif not _is_url(place) and (os.path.lexists(place) or not has_magic(place)):
            found = [str(path.absolute()) for path in find_videos([Path(place)])]
        else:
            found = _in_place(place)
    except LapsError:
        raise
    except Exception as exc:  # each kind of place has errors of its own
        raise BadParameter(f"{source} cannot be read: {exc}") from exc
    videos = list(dict.fromkeys(found))
    if not videos:
        raise BadParameter(f"{source} names no video", hint=f"names end in {' '.join(sorted(VIDEO_SUFFIXES))}")
    return videos


def open_video(path: str, folder: Path | None = None) -> int:
    """An open descriptor of a video; one from another place is copied into a file without a name in ``folder``.

    Raises:
        OSError, BadParameter: it cannot be read.
        StorageFull: there is no room for the copy.
    """
    if not _is_url(path):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with tempfile.TemporaryFile(dir=folder) as copy:
        try:
            with fsspec.open(path, "rb") as remote:
                shutil.copyfileobj(remote, copy, _COPIED_BYTES)
            copy.flush()
        except OSError as exc:
            if exc.errno in _FULL:
                raise StorageFull("no space for a copy of the video", hint="set LAPS_UPLOAD_DIR") from exc
            raise
        except Exception as exc:  # each kind of place has errors of its own
            raise BadParameter(f"cannot be read: {exc}") from exc
        copy.seek(0)
        return os.dup(copy.fileno())


def _in_place(place: str) -> list[str]:
    """Files of a pattern, or in a folder of another place, or that one file."""
    files, root = fsspec.core.url_to_fs(place)
    if has_magic(root):
        matched = files.glob(root, detail=True)
        found = {name: info for name, info in matched.items() if not name.rpartition("/")[2].startswith(".")}
    elif files.isfile(root):
        return [place]
    else:
        found = {name: info for name, info in files.find(root, detail=True).items() if _is_video(name, root)}
    names = sorted(name for name, info in found.items() if info["type"] == "file")
    return [_named(files, name) for name in names]


def _is_video(name: str, root: str) -> bool:
    """By the rules of :func:`laps_server.offline.find_videos`: hidden files and folders are left out."""
    below = PurePosixPath(name.removeprefix(root))
    return below.suffix.lower() in VIDEO_SUFFIXES and not any(part.startswith(".") for part in below.parts)


def _in_list(place: str, column: str) -> list[str]:
    with fsspec.open(place, "rb") as file:
        if place.lower().endswith(".csv"):
            as_text = csv.ConvertOptions(column_types={column: pa.string()}, strings_can_be_null=True)
            table = csv.read_csv(file, convert_options=as_text)
        else:
            table = parquet.read_table(file)
    if column not in table.column_names:
        raise BadParameter(
            f"{place} has no column {column!r}", hint=f"--column names one of {', '.join(table.column_names)}"
        )
    if not pa.types.is_string(kind := table.schema.field(column).type) and not pa.types.is_large_string(kind):
        raise BadParameter(f"column {column!r} of {place} holds no texts but {kind}")
    beside = place.rpartition("/")[0] if _is_url(place) else str(Path(place).absolute().parent)
    return [_beside(name, beside) for name in table[column].to_pylist() if name]


def _beside(name: str, folder: str) -> str:
    name = _without_file_scheme(name)
    return name if _is_url(name) or name.startswith("/") else f"{folder}/{name}"


def _named(files: fsspec.AbstractFileSystem, name: str) -> str:
    return _without_file_scheme(files.unstrip_protocol(name))


def _without_file_scheme(place: str) -> str:
    scheme = next((scheme for scheme in _FILE_SCHEMES if place.startswith(scheme)), "")
    return place.removeprefix(scheme)


def _is_url(place: str) -> bool:
    return "://" in place
