"""Which stream of a file is classified: the choice by itself, and on files that hold several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from heapq import merge
from pathlib import Path

import av
import pytest
from av.container import InputContainer

from laps_server.errors import UnsupportedCodec
from laps_server.video.av_file.container_streams import count_packets
from laps_server.video.stream_choice import (
    StreamCandidate,
    StreamChoice,
    choose_stream,
    packets_by_index,
    without_thumbnails,
)
from support.numbered_videos import encode, extract, numbered, read_number

VIDEO = StreamCandidate(
    index=0, width=96, height=64, decoder="h264", is_default=True, is_thumbnail=False, frames=100, entries=100
)
DECODERS = {"h264", "mjpeg"}


def stream(index: int, **changes: object) -> StreamCandidate:
    return replace(VIDEO, index=index, **changes)  # type: ignore[arg-type]


SMALL = {"width": 48, "height": 32}


@pytest.mark.parametrize(
    ("others", "packets"),
    [
        pytest.param([stream(1, width=480, height=320)], {0: 50, 1: 0}, id="one without packets"),
        pytest.param([stream(1, width=480, height=320)], {0: 50, 1: 1}, id="one picture beside many"),
        pytest.param([stream(1, width=480, height=320, is_default=False)], {0: 50, 1: 50}, id="not the default"),
        pytest.param([stream(1, is_default=False), stream(2, is_default=False)], {0: 9, 1: 50, 2: 50}, id="three"),
    ],
)
def test_what_is_not_the_video_loses_without_a_word(others: list[StreamCandidate], packets: Mapping[int, int]) -> None:
    assert choose_stream([VIDEO, *others], packets, DECODERS) == StreamChoice(0)
    assert choose_stream([*others, VIDEO], packets, DECODERS) == StreamChoice(0)


@pytest.mark.parametrize(
    ("candidates", "packets", "taken"),
    [
        pytest.param([stream(0, **SMALL), stream(1)], {0: 50, 1: 40}, "1 (96x64)", id="most pixels"),
        pytest.param([stream(0), stream(1)], {0: 40, 1: 50}, "1 (96x64)", id="most pictures"),
        pytest.param([stream(0), stream(1)], {0: 50, 1: 50}, "0 (96x64)", id="the first"),
        pytest.param(
            [stream(0, is_default=False, **SMALL), stream(1, is_default=False)],
            {0: 5, 1: 5},
            "1 (96x64)",
            id="no default",
        ),
        pytest.param(
            [stream(0, decoder="prores"), stream(1, is_default=False, **SMALL)],
            {0: 50, 1: 50},
            "1 (48x32)",
            id="a copy where the video cannot be decoded",
        ),
        pytest.param(
            [stream(0, decoder=None), stream(1, **SMALL)], {0: 50, 1: 50}, "1 (48x32)", id="one that can be decoded"
        ),
    ],
)
def test_a_choice_between_candidates_is_told(
    candidates: list[StreamCandidate], packets: Mapping[int, int], taken: str
) -> None:
    choice = choose_stream(candidates, packets, DECODERS)
    assert choice.warning == f"the file has 2 video streams: stream {taken} was taken"
    assert choice.index == int(taken[0])


def test_what_is_left_is_taken_even_if_it_has_nothing_or_no_decoder() -> None:
    assert choose_stream([stream(3), stream(4)], {3: 0, 4: 0}, DECODERS).index == 3
    assert choose_stream([stream(3), stream(4)], {3: 1, 4: 1}, DECODERS).index == 3
    poster = stream(0, decoder="mjpeg", is_default=False)
    assert choose_stream([poster, stream(1, decoder="prores")], {0: 1, 1: 50}, DECODERS) == StreamChoice(1)


def test_flagged_thumbnails_are_never_candidates() -> None:
    assert without_thumbnails([stream(0, is_thumbnail=True), stream(1)]) == (stream(1),)
    assert without_thumbnails([stream(0, is_thumbnail=True)]) == ()


@pytest.mark.parametrize(
    ("candidates", "known"),
    [
        pytest.param([stream(0), stream(1)], {0: 100, 1: 100}, id="all"),
        pytest.param([stream(0, frames=0, entries=0), stream(1)], {0: 0, 1: 100}, id="one of nothing"),
        pytest.param([stream(0, frames=0, entries=0), stream(1, frames=0, entries=0)], None, id="no index"),
        pytest.param([stream(0, frames=0), stream(1, frames=0)], None, id="fragments"),
        pytest.param([stream(0), stream(1, entries=1)], None, id="an index of the first picture alone"),
    ],
)
def test_an_index_is_believed_where_it_holds_what_is_declared(
    candidates: list[StreamCandidate], known: Mapping[int, int] | None
) -> None:
    assert packets_by_index(candidates) == known


# Files ---------------------------------------------------------------------------------------------------


def together(
    path: Path,
    *parts: Path,
    default: tuple[int, ...] = (),
    announced: tuple[int, ...] = (),
    muxer_options: Mapping[str, str] | None = None,
) -> Path:
    """One file of the first video stream of each of ``parts``; those ``announced`` get no packets."""
    sources = [av.open(str(part)) for part in parts]
    with av.open(str(path), "w", options=dict(muxer_options or {})) as out:
        streams = [out.add_stream_from_template(source.streams.video[0]) for source in sources]
        for number, added in enumerate(streams):
            added.disposition = av.stream.Disposition.default if number in default else av.stream.Disposition(0)
        rows = [
            [
                (float((packet.dts or 0) * packet.time_base), number, packet)
                for packet in source.demux(video=0)
                if packet.size
            ]
            for number, source in enumerate(sources)
            if number not in announced
        ]
        for _, number, packet in merge(*rows, key=lambda row: row[:2]):
            packet.stream = streams[number]
            out.mux(packet)
    for source in sources:
        source.close()
    return path


def write_video(path: Path, codec: str = "mpeg4") -> Path:
    return encode(path, codec, count=60, options={"g": "20", "b": "400k"})


def write_copy(path: Path, codec: str = "mpeg4") -> Path:
    """Half as large, with numbers of its own."""
    return encode(
        path,
        codec,
        count=60,
        size=(48, 32),
        options={"g": "20", "b": "400k"},
        draw=lambda number: numbered(number + 1000, 48, 32),
    )


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write_copy(tmp_path / "copy.mp4")


@pytest.fixture
def poster(tmp_path: Path) -> Path:
    return encode(tmp_path / "poster.avi", "mjpeg", count=1, size=(192, 128), pix_fmt="yuvj420p")


def taken(path: Path) -> tuple[int | None, tuple[str, ...], int]:
    """Which stream, what is told, and the number that the first picture shows."""
    found = extract(path, views="1x1")
    return found.info.stream_index, found.warnings, read_number(found.pixels[0])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_default_stream_is_taken(suffix: str, video: Path, copy: Path, tmp_path: Path) -> None:
    assert taken(together(tmp_path / f"a.{suffix}", copy, video, default=(1,))) == (1, (), 0)
    assert taken(together(tmp_path / f"b.{suffix}", copy, video, default=(0,))) == (0, (), 1000)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_without_a_default_the_larger_one_is_taken_and_the_choice_told(suffix: str, tmp_path: Path) -> None:
    codec = "mpeg2video" if suffix == "ts" else "mpeg4"
    parts = (write_copy(tmp_path / f"copy.{suffix}", codec), write_video(tmp_path / f"video.{suffix}", codec))
    told = ("the file has 2 video streams: stream 1 (96x64) was taken",)
    assert taken(together(tmp_path / f"a.{suffix}", *parts)) == (1, told, 0)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_poster_is_not_the_video_however_large(suffix: str, video: Path, poster: Path, tmp_path: Path) -> None:
    assert taken(together(tmp_path / f"a.{suffix}", poster, video, default=(0, 1))) == (1, (), 0)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_stream_that_never_comes_is_not_the_video(suffix: str, video: Path, copy: Path, tmp_path: Path) -> None:
    # Only in fragments does FFmpeg write a track that has no samples.
    fragments = {"movflags": "empty_moov+frag_keyframe"} if suffix == "mp4" else None
    path = together(tmp_path / f"a.{suffix}", copy, video, default=(0, 1), announced=(0,), muxer_options=fragments)
    assert taken(path) == (1, (), 0)


def test_a_poster_is_not_answered_for_a_video_that_cannot_be_decoded(tmp_path: Path, poster: Path) -> None:
    foreign = encode(tmp_path / "foreign.avi", "huffyuv", count=20, pix_fmt="yuv422p")
    with pytest.raises(UnsupportedCodec, match="codec huffyuv"):
        extract(together(tmp_path / "a.avi", poster, foreign))


def test_the_choice_is_made_once_and_one_stream_costs_nothing(
    video: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(container: InputContainer, indices: list[int], bytes_read: Callable[[], int]) -> Mapping[int, int]:
        read.append(indices)
        return count_packets(container, indices, bytes_read)

    monkeypatch.setattr("laps_server.video.av_file.video_file.count_packets", counted)
    extract(together(tmp_path / "one.mkv", video))
    extract(together(tmp_path / "two.mp4", copy, video, default=(1,)))
    assert read == []
    extract(together(tmp_path / "two.mkv", copy, video, default=(1,)))
    assert read == [[0, 1]]
