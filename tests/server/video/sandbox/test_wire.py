"""What gateway and workers say: it comes over as it was, and what a worker makes up is refused."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from laps_server import errors
from laps_server.errors import InternalError, LapsError, MediaError
from laps_server.part import Part
from laps_server.video.extract import extract_parts
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits
from laps_server.video.sandbox import wire
from laps_server.view_grid import ViewGrid
from support.plain_videos import RED, write_colour_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has memory by descriptor")

OPTIONS = ExtractOptions(
    ViewGrid(2, 3), frames=2, stride=1, short_side=16, crop_height=16, crop_width=16, thumbnails="all"
)
MAX_BYTES = 1_000_000
_F_SEAL_FUTURE_WRITE = 0x10  # linux/fcntl.h
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    path = write_colour_video(tmp_path_factory.mktemp("part") / "clip.mp4", [RED] * 8)
    with path.open("rb") as file:
        return next(extract_parts(file.fileno(), OPTIONS, limits=MediaLimits()))


def facts(part: Part) -> list[object]:
    return [value.tolist() if hasattr(value, "tolist") else value for value in part.__reduce__()[1]]


def sent(part: Part, channel: tuple[socket.socket, socket.socket]) -> tuple[bytes, list[int]]:
    ours, theirs = channel
    wire.send_part(theirs, part)
    return wire.receive(ours)


def test_a_part_comes_over_as_it_was(part: Part, channel: tuple[socket.socket, socket.socket]) -> None:
    read = wire.read_answer(*sent(part, channel), max_bytes=MAX_BYTES)
    assert read is not None
    assert facts(read) == facts(part)
    assert read.thumbnails
    assert not read.pixels.flags.writeable


def test_a_job_comes_over_as_it_was() -> None:
    """With every option other than it is unless somebody says so."""
    options = ExtractOptions(
        ViewGrid(7, 3),
        frames=3,
        stride=5,
        short_side=64,
        crop_height=60,
        crop_width=62,
        thumbnails="middle",
        window_s=Fraction(10, 3),
        sampling="segments_of_5",
        early=False,
        long_side="round",
        interpolation="bilinear_antialiased",
        crop_order="ends_first",
        crop_offset="down",
    )
    usual = ExtractOptions(ViewGrid(1, 1), frames=1, stride=1, short_side=1, crop_height=1, crop_width=1)
    assert [f.name for f in fields(options) if getattr(options, f.name) == getattr(usual, f.name)] == []
    job = wire.DecodeJob(options, MediaLimits(max_pixels=99, codecs="wide"), threads=3)
    assert wire.read_job(wire.write_job(job)) == job


@pytest.mark.parametrize("kind", sorted({*wire._ERRORS.values()}, key=str))
def test_what_a_file_causes_comes_over(kind: type[LapsError], channel: tuple[socket.socket, socket.socket]) -> None:
    error = kind("what was wrong", hint="what would be right")
    wire.send_error(channel[1], error)
    with pytest.raises(kind) as caught:
        wire.read_answer(*wire.receive(channel[0]), max_bytes=MAX_BYTES)
    assert caught.value == error


def test_every_error_of_media_is_among_them() -> None:
    media = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MediaError)}
    assert media <= {*wire._ERRORS.values()}


@pytest.mark.parametrize("code", ["internal", "unauthorized", "shutting_down", "no such code"])
def test_an_error_that_no_file_causes_is_a_defect(code: str) -> None:
    told = json.dumps({"code": code, "message": "secrets", "hint": None}).encode()
    with pytest.raises(InternalError, match="decoding failed"):
        wire.read_answer(b"error " + told, [], max_bytes=MAX_BYTES)


def test_words_are_kept_short() -> None:
    told = json.dumps({"code": "video_corrupt", "message": "m" * 10_000, "hint": "h" * 10_000}).encode()
    with pytest.raises(MediaError) as caught:
        wire.read_answer(b"error " + told, [], max_bytes=MAX_BYTES)
    assert (len(caught.value.message), len(caught.value.hint or "")) == (500, 500)


@pytest.mark.parametrize("message", [b"", b"part", b"part ", b"part 12", b"error {}", b"error no json", b"\x80\x04."])
def test_nonsense_is_told_as_such(message: bytes) -> None:
    with pytest.raises(wire.GarbledMessage):
        wire.read_answer(message, [], max_bytes=MAX_BYTES)


def memory(content: bytes, seals: int = SEALS) -> int:
    descriptor = os.memfd_create("lie", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


@pytest.fixture
def written(part: Part, channel: tuple[socket.socket, socket.socket]) -> tuple[dict[str, Any], bytes]:
    """A Part's header, and what comes behind it."""
    message, (descriptor,) = sent(part, channel)
    size = int(message.removeprefix(b"part "))
    content = os.pread(descriptor, 10_000_000, 0)
    os.close(descriptor)
    return json.loads(content[:size]), content[size + -size % 8 :]


def lie(header: dict[str, Any], rest: bytes, *, seals: int = SEALS) -> Part | None:
    text = json.dumps(header).encode()
    content = text + bytes(-len(text) % 8) + rest
    return wire.read_answer(b"part %d" % len(text), [memory(content, seals)], max_bytes=MAX_BYTES)


def test_the_truth_is_taken(written: tuple[dict[str, Any], bytes], part: Part) -> None:
    """So that what is refused below is refused for the lie."""
    read = lie(*written)
    assert read is not None
    assert facts(read) == facts(part)


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "more pixels": lambda header: header["offsets"].__setitem__(-1, header["offsets"][-1] + 1),
    "fewer pixels": lambda header: header["offsets"].__setitem__(-1, header["offsets"][-1] - 1),
    "pixels before the memory": lambda header: header["offsets"].__setitem__(-1, -1),
    "offsets that run back": lambda header: header["offsets"].__setitem__(1, -50),
    "frames of no size": lambda header: header["sizes"].__setitem__(0, [-4, -4]),
    "clips that are none": lambda header: header.update(clips=[0, 99]),
    "a grid that is none": lambda header: header.update(grid=[10**9, 3]),
    "rows that are not there": lambda header: header.update(clip_frames=[10**9, 10**9]),
    "rows of less than nothing": lambda header: header.update(clip_frames=[-1, 2]),
    "thumbnails of less than nothing": lambda header: header["thumbnails"].__setitem__(0, -5),
    "thumbnails that are not there": lambda header: header["thumbnails"].__setitem__(0, 10**12),
    "one place too many": lambda header: header["places"].append(0),
    "times that are no numbers": lambda header: header["frames"].__setitem__(0, [0, 0, float("nan")]),
    "a key that nobody knows": lambda header: header.update(more=1),
    "no video": lambda header: header.pop("video"),
    "a rule that is none": lambda header: header.update(crop_order="across"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_part_that_lies_is_refused(written: tuple[dict[str, Any], bytes], what: str) -> None:
    header, rest = written
    LIES[what](header)
    with pytest.raises(wire.GarbledMessage):
        lie(header, rest)


def test_frames_that_clips_name_have_to_be_there(written: tuple[dict[str, Any], bytes]) -> None:
    header, rest = written
    with pytest.raises(wire.GarbledMessage):
        lie(header, b"\xff" * 8 + rest[8:])


@pytest.mark.parametrize("missing", ["F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE"])
def test_memory_that_could_still_be_changed_is_refused(written: tuple[dict[str, Any], bytes], missing: str) -> None:
    with pytest.raises(wire.GarbledMessage):
        lie(*written, seals=SEALS & ~getattr(fcntl, missing))


def test_more_seals_than_are_asked_for_do_no_harm(written: tuple[dict[str, Any], bytes]) -> None:
    """As F_SEAL_EXEC does, which kernels with vm.memfd_noexec=1 put on everything."""
    assert lie(*written, seals=SEALS | _F_SEAL_FUTURE_WRITE) is not None


def test_a_file_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"{}" * 100)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(wire.GarbledMessage):
        wire.read_answer(b"part 100", [descriptor], max_bytes=MAX_BYTES)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)  # it was closed all the same


def test_more_than_a_part_may_take_is_refused(part: Part, channel: tuple[socket.socket, socket.socket]) -> None:
    message, descriptors = sent(replace(part), channel)
    os.lseek(descriptors[0], 0, os.SEEK_SET)
    with pytest.raises(wire.GarbledMessage):
        wire.read_answer(message, descriptors, max_bytes=-16 * 1024 * 1024)
