"""How the files of ``tests/data/field`` were made: small ones, of the kinds that people's real files are.

Every picture says its number, or is a texture that a camera moves over. In tests/,
``python -m support.field_recipes FOLDER`` makes all of them again, from nothing but these lines and Debian's ffmpeg.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import count
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from support.mp4_boxes import STBL, set_media_duration, set_payload, time_to_sample
from support.numbered_videos import DARK, LIGHT, Pixels, encode, ffmpeg, numbered, read_number

SIZE = (192, 128)
SMALL = (48, 32)
POSTER = 4095  # the number that a poster shows
PROXY_FIRST = 1000  # the first number of a small copy
CLOCK_S = 2**33 / 90000  # after which the clock of MPEG-TS starts anew
TS_PACKET_BYTES = 188

Float = npt.NDArray[np.float64]
Recipe = Callable[[Path, Path], None]  # (file to make, folder for what it is made from)


# What files are made from ---------------------------------------------------------------------------


def _h264(
    path: Path, pictures: int, *, key: int = 25, b_frames: int = 2, rate: int = 25, timescale: int | None = None
) -> Path:
    """An H.264 file of numbered pictures with a key frame at least every ``key``; ``timescale`` is the track's."""
    options = {"g": str(key), "bf": str(b_frames)}
    muxer_options = None if timescale is None else {"video_track_timescale": str(timescale)}
    return encode(path, "libx264", count=pictures, options=options, rate=rate, size=SIZE, muxer_options=muxer_options)


def _one_key_frame(folder: Path) -> Path:
    return _h264(folder / "one_key.mp4", 250, key=250)


def _film(folder: Path) -> Path:
    return _h264(folder / "film.mp4", 100)


def _small_copy(folder: Path) -> Path:
    """The film's pictures, small, with numbers of their own."""
    return encode(
        folder / "small.mp4",
        "libx264",
        count=100,
        options={"g": "25", "bf": "2"},
        size=SMALL,
        draw=lambda number: numbered(PROXY_FIRST + number, *SMALL),
    )


def _xvid(path: Path, *, b_frames: int = 0) -> Path:
    options = {"g": "25", "bf": str(b_frames), "b": "800k", "sc_threshold": "1000000000", "b_strategy": "0"}
    return encode(path, "mpeg4", count=150, options=options, size=SIZE)


@cache
def _texture(size: int = 700, seed: int = 7) -> Float:
    """Smooth coloured noise, float ``[size, size, 3]`` from 0 to 255."""
    noise = np.random.default_rng(seed)
    total = np.zeros((size, size, 3))
    for cells, weight in ((9, 1.0), (23, 0.7), (61, 0.5), (140, 0.3)):
        coarse = noise.random((cells + 2, cells + 2, 3))
        at = np.linspace(0, cells, size)
        low, part = at.astype(int), at % 1
        rows = coarse[low] * (1 - part)[:, None, None] + coarse[low + 1] * part[:, None, None]
        total += weight * (rows[:, low] * (1 - part)[None, :, None] + rows[:, low + 1] * part[None, :, None])
    total -= total.min()
    scaled: Float = total / total.max() * 255
    return scaled


def _pan(number: int, step: int = 8) -> Pixels:
    """The camera pans to the right: what it sees moves to the left."""
    width, height = SIZE
    left = 100 + number * step
    return _texture()[200 : 200 + height, left : left + width].astype(np.uint8)


def _zoom(number: int, rate: float = 1.006) -> Pixels:
    """The camera zooms in on the middle."""
    width, height = SIZE
    texture, scale = _texture(), 3.0 / rate**number
    y = np.clip(350 + (np.arange(height) - height / 2) * scale, 0, 698)
    x = np.clip(350 + (np.arange(width) - width / 2) * scale, 0, 698)
    top, left = y.astype(int), x.astype(int)
    down, right = (y % 1)[:, None, None], (x % 1)[None, :, None]
    upper = texture[top][:, left] * (1 - right) + texture[top][:, left + 1] * right
    lower = texture[top + 1][:, left] * (1 - right) + texture[top + 1][:, left + 1] * right
    picture: Pixels = (upper * (1 - down) + lower * down).astype(np.uint8)
    return picture


def _payloads(path: Path) -> list[tuple[bytes, bool]]:
    """Each packet's bytes, and whether it is a key frame, in file order."""
    with av.open(str(path)) as source:
        return [(bytes(packet), packet.is_keyframe) for packet in source.demux(video=0) if packet.size]


def _write(path: Path, template: Path, items: Sequence[tuple[bytes, bool, int]], time_base: Fraction) -> None:
    """Write (bytes, whether a key frame, time) as packets of the stream that ``template`` has."""
    with av.open(str(template)) as given, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        stream.time_base = time_base
        for data, key, time in items:
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, time_base, key
            packet.pts = packet.dts = time
            out.mux(packet)


# The recipes ----------------------------------------------------------------------------------------


def trim_end(path: Path, folder: Path) -> None:
    """The end of a film, cut without encoding it again: an edit list hides what comes before."""
    ffmpeg("-ss", "8", "-i", _one_key_frame(folder), "-c", "copy", path)


def trim_zoom(path: Path, folder: Path) -> None:
    """The end of a zoom, cut likewise."""
    options = {"g": "250", "crf": "22"}
    zoom = encode(folder / "zoom.mp4", "libx264", count=120, options=options, size=SIZE, draw=_zoom)
    ffmpeg("-ss", "3.2", "-i", zoom, "-c", "copy", path)


def mdhd_short(path: Path, folder: Path) -> None:
    """The media's duration in the movie's timescale, a thirtieth of it."""
    _h264(path, 248, key=60, b_frames=0, rate=30, timescale=30000)
    set_media_duration(path, 248 * 1000 // 30)


def fragments_after_moov(path: Path, folder: Path) -> None:
    """The first fragment's samples in ``moov``, the others' in ``moof``."""
    ffmpeg("-i", _h264(folder / "whole.mp4", 150), "-c", "copy", "-movflags", "frag_keyframe", path)


def sei_and_aud_samples(path: Path, folder: Path) -> None:
    """Behind each picture a sample that holds SEI alone, and one that holds an access unit delimiter alone."""

    def sample(nal: bytes) -> bytes:
        return len(nal).to_bytes(4, "big") + nal

    sei = sample(bytes([6, 5, 18]) + b"0123456789abcdefxx\x80")
    delimiter = sample(bytes([9, 0x30]))
    plain = _h264(folder / "plain.mp4", 150, b_frames=0)
    items, times = [], count(step=1200)
    for data, key in _payloads(plain):
        items += [(data, key, next(times)), (sei, False, next(times)), (delimiter, False, next(times))]
    _write(path, plain, items, Fraction(1, 90000))


def every_other_entry_empty(path: Path, folder: Path) -> None:
    """25 pictures a second in an AVI of 50 entries a second: FFmpeg leaves every other one empty."""
    ffmpeg("-i", _xvid(folder / "xvid.mkv"), "-c", "copy", path)


def h264_every_other_entry_empty(path: Path, folder: Path) -> None:
    """The same with H.264 and B-frames."""
    ffmpeg("-i", _h264(folder / "b.mp4", 150), "-c", "copy", "-bsf:v", "h264_mp4toannexb", path)


def poster_first(path: Path, folder: Path) -> None:
    """A poster as a track of its own before the film's, which is the default."""
    poster = folder / "poster.jpg"
    Image.fromarray(numbered(POSTER)).save(poster)
    streams = ("-map", "0:v", "-map", "1:v", "-c:v:0", "mjpeg", "-c:v:1", "copy")
    default = ("-disposition:v:0", "0", "-disposition:v:1", "default")
    ffmpeg("-i", poster, "-i", _film(folder), *streams, *default, path)


def proxy_first(path: Path, folder: Path) -> None:
    """A small copy first, the film second and default."""
    default = ("-disposition:v:0", "0", "-disposition:v:1", "default")
    ffmpeg("-i", _small_copy(folder), "-i", _film(folder), "-map", "0:v", "-map", "1:v", "-c", "copy", *default, path)


def first_stream_is_silent(path: Path, folder: Path) -> None:
    """Two video streams in a transport stream; the first keeps its line in the PMT and has no packets."""
    both = folder / "both.ts"
    ffmpeg("-i", _small_copy(folder), "-i", _film(folder), "-map", "0:v", "-map", "1:v", "-c", "copy", both)
    data = both.read_bytes()
    packets = [data[start : start + TS_PACKET_BYTES] for start in range(0, len(data), TS_PACKET_BYTES)]
    path.write_bytes(b"".join(packet for packet in packets if ((packet[1] & 31) << 8 | packet[2]) != 0x100))


def sound_starts_first(path: Path, folder: Path) -> None:
    """Sound from 0 s on, the film from 8 s on."""
    sound = ("-f", "lavfi", "-i", "sine=f=440:r=16000:d=12")
    streams = ("-map", "0:a", "-map", "1:v", "-c:v", "copy", "-c:a", "aac", "-b:a", "16k")
    ffmpeg(*sound, "-itsoffset", "8", "-i", _film(folder), *streams, path)


def pan_right_5_frames(path: Path, folder: Path) -> None:
    """Five pictures, 8 pixels apart."""
    encode(path, "libx264", count=5, options={"crf": "16"}, size=SIZE, draw=_pan)


def slower_second_half(path: Path, folder: Path) -> None:
    """30 pictures a second for 4 s, then 10; their numbers are those of a clock of 30/s."""
    shown = [number for number in range(300) if number < 120 or number % 3 == 0]
    encode(
        path,
        "libx264",
        count=len(shown),
        options={"g": "30"},
        rate=30,
        size=SIZE,
        draw=lambda place: numbered(shown[place], *SIZE),
        pts_of=lambda place: shown[place],
        time_base=Fraction(1, 30),
    )


def two_of_one_time(path: Path, folder: Path) -> None:
    """Every fifth picture has the time of the one before."""
    _h264(path, 150, b_frames=0, timescale=12800)
    steps = [(1, {3: 0, 4: 1024}.get(place % 5, 512)) for place in range(150)]
    set_payload(path, f"{STBL}/stts", time_to_sample(steps))


def bytes_behind_trailer(path: Path, folder: Path) -> None:
    """Text behind the trailer of a GIF."""
    path.write_bytes(_gif(range(40), delay=4) + b"made with something\n")


def packed_b_frames(path: Path, folder: Path) -> None:
    """DivX 5's packed bitstream: P and B in one chunk, then a frame that is not coded."""
    source = _xvid(folder / "xvid_b.avi", b_frames=1)
    chunks, waiting = [], _payloads(source)
    not_coded = b"\0\0\1\xb6" + bytes([0b01010000, 0b01011111])
    while waiting:
        data, key = waiting.pop(0)
        if waiting and _vop(data) in "IP" and _vop(waiting[0][0]) == "B":
            chunks += [(data + waiting.pop(0)[0], key), (not_coded, False)]
        else:
            chunks.append((data, key))
    first, _ = chunks[0]
    at = min(place for place in (first.find(b"\0\0\1\xb6"), first.find(b"\0\0\1\xb3")) if place >= 0)
    chunks[0] = (first[:at] + b"\0\0\1\xb2DivX503b1393p" + first[at:], True)
    _write(path, source, [(data, key, place) for place, (data, key) in enumerate(chunks)], Fraction(1, 25))


def clock_wraps(path: Path, folder: Path) -> None:
    """The 33-bit clock of MPEG-TS starts anew after 5 s."""
    offset = ("-output_ts_offset", str(CLOCK_S - 5), "-muxdelay", "0")
    ffmpeg("-i", _one_key_frame(folder), "-c", "copy", *offset, path)


def list_utf16(path: Path, folder: Path) -> None:
    """A list for ``laps evaluate`` as Windows PowerShell 5.1's ``>`` writes it."""
    path.write_bytes("pan_right_5_frames.mp4 2\r\n".encode("utf-16"))


def _vop(data: bytes) -> str:
    """Which kind of picture an MPEG-4 packet begins with."""
    return "IPBS"[data[data.index(b"\0\0\1\xb6") + 4] >> 6]


def _gif(shown: Sequence[int], *, delay: int) -> bytes:
    """Two greys, written without compression; ``delay`` in hundredths of a second."""
    width, height = SMALL
    size = struct.pack("<HH", width, height)
    out = b"GIF89a" + size + b"\x80\0\0" + bytes([DARK] * 3 + [LIGHT] * 3)
    for number in shown:
        grey = numbered(number, width, height)[:, :, 0] > (DARK + LIGHT) / 2
        codes = [
            code for place, light in enumerate(grey.ravel()) for code in ([4] if place % 2 == 0 else []) + [int(light)]
        ]
        bits = "".join(format(code, "03b")[::-1] for code in [*codes, 5])
        data = bytes(int(bits[start : start + 8].ljust(8, "0")[::-1], 2) for start in range(0, len(bits), 8))
        out += b"\x21\xf9\x04\x04" + struct.pack("<H", delay) + b"\0\0,\0\0\0\0" + size + b"\0\x02"
        blocks = (data[start : start + 255] for start in range(0, len(data), 255))
        out += b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return out + b"\x3b"


RECIPES: dict[str, Recipe] = {
    "trim_end.mp4": trim_end,
    "trim_zoom.mp4": trim_zoom,
    "mdhd_short.mp4": mdhd_short,
    "fragments_after_moov.mp4": fragments_after_moov,
    "sei_and_aud_samples.mp4": sei_and_aud_samples,
    "every_other_entry_empty.avi": every_other_entry_empty,
    "h264_every_other_entry_empty.avi": h264_every_other_entry_empty,
    "poster_first.mp4": poster_first,
    "proxy_first.mkv": proxy_first,
    "first_stream_is_silent.ts": first_stream_is_silent,
    "sound_starts_first.mkv": sound_starts_first,
    "pan_right_5_frames.mp4": pan_right_5_frames,
    "slower_second_half.mp4": slower_second_half,
    "two_of_one_time.mp4": two_of_one_time,
    "bytes_behind_trailer.gif": bytes_behind_trailer,
    "packed_b_frames.avi": packed_b_frames,
    "clock_wraps.ts": clock_wraps,
    "list_utf16.txt": list_utf16,
}


def make(name: str, folder: Path) -> Path:
    """Make one of the files in ``folder``; the path is returned."""
    with tempfile.TemporaryDirectory() as sources:
        RECIPES[name](folder / name, Path(sources))
    return folder / name


def numbers_shown(path: Path) -> list[list[int]]:
    """The numbers that each video stream's pictures show, as FFmpeg decodes them, packets without one left out."""
    with av.open(str(path)) as source:
        streams = len(source.streams.video)
    return [_stream_numbers(path, place) for place in range(streams)]


def _stream_numbers(path: Path, place: int) -> list[int]:
    shown = []
    with av.open(str(path)) as source:
        decoder = source.streams.video[place].codec_context
        for packet in source.demux(video=place):
            try:
                frames = decoder.decode(packet)
            except av.InvalidDataError:
                continue  # it holds no picture
            shown += [
                read_number(np.asarray(frame.to_ndarray(format="rgb24", threads=1), np.uint8)) for frame in frames
            ]
    return shown


if __name__ == "__main__":
    for file in RECIPES:
        make(file, Path(sys.argv[1]))
