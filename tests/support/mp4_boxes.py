"""Surgery on MP4 boxes: files whose headers say what their pictures do not, as real writers leave them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STBL = "moov/trak/mdia/minf/stbl"
FULL_RATE = 1 << 16  # an edit's media rate of one, as 16.16
_CHUNK_OFFSETS = {b"stco": ">I", b"co64": ">Q"}
_HOLDERS = frozenset(b"moov trak mdia minf stbl edts mvex moof traf udta".split())


@dataclass(frozen=True, slots=True)
class Mp4Box:
    """Where a box lies: ``start`` is that of its size field, ``body`` of its payload, ``end`` behind it."""

    name: bytes
    start: int
    body: int
    end: int


def boxes(data: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[Mp4Box]:
    """The boxes that lie side by side between two offsets."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        size = size or end - start
        yield Mp4Box(bytes(data[start + 4 : start + 8]), start, body, start + size)
        start += max(size, 8)


def find(data: bytes | bytearray, where: str, *, track: int = 0) -> list[Mp4Box]:
    """The boxes along a path as ``moov/trak/mdia/mdhd``, outermost first; ``track`` chooses among ``trak``."""
    chain: list[Mp4Box] = []
    start, end = 0, len(data)
    for name in where.split("/"):
        same = [box for box in boxes(data, start, end) if box.name == name.encode()]
        if not same:
            raise LookupError(f"no {name} on the way of {where}")
        chain.append(same[track if name == "trak" else 0])
        start, end = chain[-1].body, chain[-1].end
    return chain


def payload(path: Path, where: str, *, track: int = 0) -> bytes:
    """What a box holds."""
    data = path.read_bytes()
    box = find(data, where, track=track)[-1]
    return data[box.body : box.end]


def set_payload(path: Path, where: str, content: bytes, *, track: int = 0) -> None:
    """Give a box other content, of any length."""
    data = bytearray(path.read_bytes())
    *parents, box = find(data, where, track=track)
    _replace(data, parents, box.start, box.end, box_of(box.name, content))
    path.write_bytes(data)


def add_box(path: Path, where: str, name: str, content: bytes, *, track: int = 0) -> None:
    """Put a new box in front of what the box at ``where`` holds."""
    data = bytearray(path.read_bytes())
    parents = find(data, where, track=track)
    after = parents[-1].body
    first = next(boxes(data, parents[-1].body, parents[-1].end), None)
    if first is not None and first.name in (b"mvhd", b"tkhd", b"mdhd"):
        after = first.end  # the header stays first
    _replace(data, parents, after, after, box_of(name.encode(), content))
    path.write_bytes(data)


def edit_payload(path: Path, where: str, change: Callable[[bytearray], None], *, track: int = 0) -> None:
    """Let ``change`` write over a box's payload in place."""
    content = bytearray(payload(path, where, track=track))
    change(content)
    set_payload(path, where, bytes(content), track=track)


def box_of(name: bytes, content: bytes) -> bytes:
    """A box as bytes."""
    return struct.pack(">I", 8 + len(content)) + name + content


def _replace(data: bytearray, parents: Sequence[Mp4Box], start: int, end: int, new: bytes) -> None:
    grown = len(new) - (end - start)
    data[start:end] = new
    for parent in parents:
        data[parent.start : parent.start + 4] = struct.pack(">I", parent.end - parent.start + grown)
    if grown:
        _move_chunks(data, start, grown)


def _move_chunks(data: bytearray, behind: int, by: int) -> None:
    """Chunk offsets that point behind a change follow it."""
    tables = [box for box in _all_boxes(data, 0, len(data)) if box.name in _CHUNK_OFFSETS]
    for table in tables:
        entry = struct.Struct(_CHUNK_OFFSETS[table.name])
        for at in range(table.body + 8, table.end, entry.size):
            (offset,) = entry.unpack_from(data, at)
            if offset >= behind:
                entry.pack_into(data, at, offset + by)


def _all_boxes(data: bytearray, start: int, end: int) -> Iterator[Mp4Box]:
    for box in boxes(data, start, end):
        yield box
        if box.name in _HOLDERS:
            yield from _all_boxes(data, box.body, box.end)


# What goes into boxes --------------------------------------------------------------------------------


def time_to_sample(entries: Sequence[tuple[int, int]]) -> bytes:
    """``stts``: runs of (samples, units of time that each lasts)."""
    return struct.pack(">II", 0, len(entries)) + b"".join(struct.pack(">II", *entry) for entry in entries)


def edit_list(entries: Sequence[tuple[int, int]]) -> bytes:
    """``elst``: (duration in the movie's timescale, start in the media's or -1 for an empty edit)."""
    rows = b"".join(struct.pack(">IiI", duration, start, FULL_RATE) for duration, start in entries)
    return struct.pack(">II", 0, len(entries)) + rows


def set_edits(path: Path, entries: Sequence[tuple[int, int]], *, track: int = 0) -> None:
    """Give a track an edit list, in place of the one that it has."""
    try:
        set_payload(path, "moov/trak/edts/elst", edit_list(entries), track=track)
    except LookupError:
        add_box(path, "moov/trak", "edts", box_of(b"elst", edit_list(entries)), track=track)


def set_media_duration(path: Path, duration: int, *, track: int = 0) -> None:
    """Let ``mdhd`` (version 0) say another duration, in the media's timescale."""
    edit_payload(path, "moov/trak/mdia/mdhd", lambda body: struct.pack_into(">I", body, 16, duration), track=track)


def set_track_duration(path: Path, duration: int, *, track: int = 0) -> None:
    """Let ``tkhd`` (version 0) say another duration, in the movie's timescale."""
    edit_payload(path, "moov/trak/tkhd", lambda body: struct.pack_into(">I", body, 20, duration), track=track)


def set_movie_duration(path: Path, duration: int) -> None:
    """Let ``mvhd`` (version 0) say another duration, in its own timescale."""
    edit_payload(path, "moov/mvhd", lambda body: struct.pack_into(">I", body, 16, duration))
