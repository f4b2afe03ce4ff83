"""The lengths that are lied about are those that containers declare."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.length_fields import LengthField, length_fields

from support.mp4_boxes import STBL, find
from support.numbered_videos import encode

WAYS = {
    "a.mp4": "mpeg4",
    "a.mkv": "mpeg4",
    "a.avi": "mpeg4",
    "a.flv": "flv",
    "a.ts": "mpeg2video",
    "a.mpg": "mpeg1video",
}


@pytest.mark.parametrize("name", WAYS)
def test_each_container_has_some_and_all_lie_inside_the_file(name: str, tmp_path: Path) -> None:
    pix_fmt = "rgb8" if name == "a.gif" else "yuv420p"
    data = encode(tmp_path / name, WAYS[name], count=5, pix_fmt=pix_fmt).read_bytes()
    found = length_fields(data)
    assert len(found) >= 3
    assert all(0 <= field.at <= len(data) - field.width for field in found)


def test_every_box_of_an_mp4_is_among_them(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.mp4", "mpeg4", count=5).read_bytes()
    found = length_fields(data)
    for box in [*find(data, f"{STBL}/stsd"), *find(data, f"{STBL}/stsz")]:
        assert LengthField(box.start, 4, "big") in found
    assert LengthField(find(data, f"{STBL}/stsz")[-1].body + 4, 4, "big") in found


def test_the_segment_of_a_matroska_file_is_among_them(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.mkv", "mpeg4", count=5).read_bytes()
    at = data.index(bytes.fromhex("18538067")) + 4
    assert LengthField(at, 8, "big") in length_fields(data)


@pytest.mark.parametrize("data", [b"", b"G", b"\x1a\x45\xdf\xa3", b"RIFF", b"GIF89a,", b"OggS", b"FLV" * 9, b"\0" * 99])
def test_what_is_no_file_has_none_that_lie_outside_of_it(data: bytes) -> None:
    assert all(field.width in {1, 2, 3, 4, 8} for field in length_fields(data))
