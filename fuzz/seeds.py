"""Files that damage begins with: small ones, written in every way that tests know, and those like people's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from laps_server.video.accepted_formats import CodecSet
from support.numbered_videos import encode, ffmpeg
from support.video_cells import CELLS, WIDE_CELLS, Cell

FIELD_FILES = Path(__file__).resolve().parents[1] / "tests" / "data" / "field"
FRAMES = 10  # enough for a key frame, pictures that look back at it and ahead, and seeks
_LARGE_FRAMES = 2  # of a picture of 720x576, which no codec of its kind makes small
_LARGE = 720
# Streams beside the picture: sound, subtitles and chapters, all of which a demuxer reads too.
_COMPANY = {"company.mkv": "srt", "company.mp4": "mov_text", "company.mov": "mov_text", "company.webm": "webvtt"}
_TITLES = """;FFMETADATA1
title=ten pictures
[CHAPTER]
TIMEBASE=1/1000
START=0
END=200
title=first
"""
_WIDE = {cell.name for cell in WIDE_CELLS}


def make_seeds(folder: Path, more: Path | None = None) -> dict[str, bytes]:
    """Every seed by its name, in an order that stays; those encoded are kept in ``folder`` and taken from there again.

    Args:
        folder: where they are kept, so that the same numbers mean the same cases in the next run.
        more: a folder of other files to begin with.
    """
    os.environ.setdefault("SVT_LOG", "-1")  # the encoder of AV1 would write to the terminal
    folder.mkdir(parents=True, exist_ok=True)
    seeds = {cell.name: _kept(cell, folder) for cell in (*CELLS, *WIDE_CELLS)}
    seeds |= {name: _in_company(folder / name, subtitles) for name, subtitles in _COMPANY.items()}
    for others in (FIELD_FILES, more):
        if others is not None:
            seeds |= {path.name: path.read_bytes() for path in sorted(others.iterdir()) if path.is_file()}
    return seeds


def codecs_for(name: str) -> CodecSet:
    """The setting that takes a seed."""
    return "wide" if name in _WIDE else "standard"


def _kept(cell: Cell, folder: Path) -> bytes:
    path = folder / cell.name
    if not path.is_file():
        making = folder / "making"
        making.mkdir(exist_ok=True)
        count = _LARGE_FRAMES if cell.size[0] >= _LARGE else FRAMES
        # Without what a muxer draws by chance, such as Matroska's identifiers.
        options: Mapping[str, str] = {**cell.muxer_options, "fflags": "+bitexact"}
        replace(cell, count=count, muxer_options=dict(options)).write(making).rename(path)
    return path.read_bytes()


def _in_company(path: Path, subtitles: str) -> bytes:
    if not path.is_file():
        making = path.parent / "making"
        codecs = ("libvpx", "libopus") if path.suffix == ".webm" else ("libx264", "aac")
        (making / "titles.srt").write_text("1\n00:00:00,000 --> 00:00:00,200\nwords\n")
        (making / "chapters.txt").write_text(_TITLES)
        picture = encode(making / "picture.mkv", codecs[0], count=FRAMES)
        sources = ("-i", picture, "-f", "lavfi", "-i", "sine=d=0.4", "-i", making / "titles.srt")
        chapters = ("-i", making / "chapters.txt", "-map_metadata", "3")
        kept = ("-map", "0", "-map", "1", "-map", "2", "-c:v", "copy", "-c:a", codecs[1], "-c:s", subtitles)
        ffmpeg(*sources, *chapters, *kept, "-fflags", "+bitexact", making / path.name)
        (making / path.name).rename(path)
    return path.read_bytes()
