"""The files of a batch job's rows: a folder, here or in a bucket, that a killed job leaves whole.

::

    DEST/_laps_batch.json          which question the rows answer, and which run writes
    DEST/part-4f0c….parquet        rows; a file is there as a whole or not at all
    DEST/.part-4f0c….unfinished-…  being written; read by nobody
    DEST/.attempts-4f0c…           how often a block was begun that is not written yet

A file gets its name once it is complete. The name follows from the videos in it: whoever classifies the same ones
again, because an answer got lost on its way, writes the same file. Which videos are done is read from the files
themselves, so there is no second record that could say something else. A run that another has followed writes nothing
any more.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, get_args

import fsspec
import pyarrow as pa
from pyarrow import compute, parquet

from laps_server.errors import BadParameter, LapsError
from laps_server.scale.batch_rows import SCHEMA, SCHEMA_VERSION, table_of

_LOG = logging.getLogger(__name__)

RowFormat = Literal["parquet", "jsonl"]
FORMATS: tuple[RowFormat, ...] = get_args(RowFormat)

_MARKER = "_laps_batch.json"
_PREFIX = "part-"
_UNFINISHED = ".unfinished-"
_DAMAGED = ".damaged-"
_ATTEMPTS = ".attempts-"
_NAME_BYTES = 12
_READ = ("path", "segments", "error_code")  # what tells whether a video is done


@dataclass(frozen=True)
class RowFiles:
    """A destination, as it is sent to those who write there."""

    url: str
    format: RowFormat = "parquet"
    run: str = ""
    """Of whoever may write; empty before :meth:`begin`."""

    # A run begins --------------------------------------------------------------------------------------

    def begin(self, question: dict[str, Any]) -> RowFiles:
        """Let a run write here, and no earlier one any more; ``question`` is what was asked of each video.

        Raises:
            BadParameter: the folder holds rows of another question, format or version of the columns.
        """
        wanted = {"schema_version": SCHEMA_VERSION, "format": self.format, "question": question}
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            found = self._marker()
        except LapsError:
            raise
        except Exception as exc:  # each kind of place has errors of its own
            raise BadParameter(f"{self.url} cannot be a folder of rows: {exc}") from exc
        if found is None and self._names():
            raise BadParameter(f"{self.url} holds files of rows, and not what they are", hint="take another folder")
        if found is not None:
            there = {name: found.get(name) for name in wanted}
            if there != json.loads(json.dumps(wanted)):
                raise BadParameter(
                    f"{self.url} holds rows of another question: {json.dumps(there, sort_keys=True)}",
                    hint=f"take another folder; this one would be {json.dumps(wanted, sort_keys=True)}",
                )
        files = RowFiles(self.url, self.format, run=secrets.token_hex(8))
        files._put(_MARKER, json.dumps({**wanted, "run": files.run}, indent=2).encode() + b"\n")
        return files

    def settle(self, *, forget_failed: bool = False) -> Done:
        """What is done; what an earlier run left half written is removed first.

        That is files that it did not finish, and videos with rows for a part of their segments alone. A file that
        cannot be read is set aside under another name. With ``forget_failed`` the rows of videos that failed go too.
        """
        for name in self._listed():
            if _UNFINISHED in name or name.startswith(_ATTEMPTS):
                self._fs.rm_file(f"{self._root}/{name}")
        videos_in: dict[str, list[str]] = {}  # by file
        failed: set[str] = set()
        wanted: dict[str, int] = {}  # rows of each video
        seen: Counter[str] = Counter()
        for name in self._names():
            videos_in[name] = []
            for path, segments, code in self._read_keys(name):
                if not videos_in[name] or videos_in[name][-1] != path:
                    videos_in[name].append(path)
                wanted[path] = segments or 1
                seen[path] += 1
                if code is not None:
                    failed.add(path)
        # What is not complete, and what is there twice, is asked for again.
        again = {path for path, rows in seen.items() if rows != wanted[path]}
        if forget_failed:
            again |= failed
        for name, paths in videos_in.items():
            if not again.isdisjoint(paths):
                self._drop(name, again)
        return Done(frozenset(seen.keys() - again), failed=len(failed - again))

    # Writing -------------------------------------------------------------------------------------------

    def attempt(self, videos: Sequence[str]) -> int:
        """Note that a block is begun; returns how often it was in this run. Writing its rows ends the count."""
        place = self._attempts(videos)
        try:
            before = int(self._fs.cat_file(place))
        except (FileNotFoundError, ValueError):  # never begun, or just being written
            before = 0
        self._fs.pipe_file(place, str(before + 1).encode())
        return before + 1

    def write(self, videos: Sequence[str], table: pa.Table) -> str:
        """Write the rows of ``videos`` as one file, whole or not at all; returns its name.

        Raises:
            BadParameter: another run has begun here.
        """
        if (self._marker() or {}).get("run") != self.run:
            raise BadParameter(f"another run writes to {self.url} now", hint="let one run at a time write to a folder")
        name = f"{_PREFIX}{_digest(videos)}.{self.format}"
        self._put(name, self._encoded(table))
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._attempts(videos))
        return name

    def _attempts(self, videos: Sequence[str]) -> str:
        return f"{self._root}/{_ATTEMPTS}{_digest(videos)}"

    def _put(self, name: str, content: bytes) -> None:
        unfinished = f"{self._root}/.{name}{_UNFINISHED}{secrets.token_hex(4)}"
        self._fs.pipe_file(unfinished, content)
        self._fs.mv(unfinished, f"{self._root}/{name}")

    def _encoded(self, table: pa.Table) -> bytes:
        if self.format == "jsonl":
            return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        return bytes(sink.getvalue())

    def _drop(self, name: str, paths: set[str]) -> None:
        table = self._read(name)
        kept = table.filter(compute.invert(compute.is_in(table["path"], value_set=pa.array(paths, pa.string()))))
        if kept.num_rows:
            self._put(name, self._encoded(kept))
        else:
            self._fs.rm_file(f"{self._root}/{name}")

    # Reading -------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, file by file."""
        for name in self._names():
            yield from self._read(name).to_pylist()

    def _read_keys(self, name: str) -> Iterable[tuple[str, int | None, str | None]]:
        try:
            table = self._read(name, columns=_READ)
        except (pa.ArrowInvalid, pa.ArrowKeyError, ValueError, OSError) as exc:
            _LOG.warning("%s/%s cannot be read (%s): set aside, its videos are classified again", self.url, name, exc)
            self._fs.mv(f"{self._root}/{name}", f"{self._root}/{_DAMAGED}{name}")
            return ()
        return zip(*(table[column].to_pylist() for column in _READ), strict=True)

    def _read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        with self._fs.open(f"{self._root}/{name}", "rb") as file:
            if self.format == "jsonl":
                return table_of([json.loads(line) for line in file]).select(list(columns or SCHEMA.names))
            return parquet.read_table(file, columns=None if columns is None else list(columns))

    def _marker(self) -> dict[str, Any] | None:
        try:
            marker: dict[str, Any] = json.loads(self._fs.cat_file(f"{self._root}/{_MARKER}"))
        except FileNotFoundError:
            return None
        except ValueError as exc:
            raise BadParameter(f"{self.url}/{_MARKER} is no JSON", hint="take another folder") from exc
        return marker

    def _names(self) -> list[str]:
        """Complete files."""
        ending = f".{self.format}"
        return [name for name in self._listed() if name.startswith(_PREFIX) and name.endswith(ending)]

    def _listed(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    @cached_property
    def _place(self) -> tuple[fsspec.AbstractFileSystem, str]:
        files, root = fsspec.core.url_to_fs(self.url)
        return files, root.rstrip("/")

    @property
    def _fs(self) -> fsspec.AbstractFileSystem:
        return self._place[0]

    @property
    def _root(self) -> str:
        return self._place[1]


def _digest(videos: Sequence[str]) -> str:
    return blake2b("\0".join(videos).encode("utf-8", "surrogateescape"), digest_size=_NAME_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Done:
    """Videos that have their rows, and how many of them are rows of errors."""

    videos: frozenset[str]
    failed: int
