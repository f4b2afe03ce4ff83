"""Encode evaluation videos with FFmpeg, and write down what each of them shows."""

from __future__ import annotations

import json
import math
import random
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.camera_motion_eval.detail import is_worth_filming
from bench.camera_motion_eval.moves import (
    LABELS,
    Move,
    classic_filter,
    draw_speed,
    perspective_filter,
    rectangle,
    speed_rank,
)

TRUTH_NAME = "truth.jsonl"

_CODECS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("h264", "mp4", ("-c:v", "libx264", "-preset", "veryfast", "-crf", "{q:18:34}")),
    ("h264", "mkv", ("-c:v", "libx264", "-preset", "superfast", "-bf", "2", "-crf", "{q:18:32}")),
    ("mpeg4", "avi", ("-c:v", "mpeg4", "-q:v", "{q:2:12}")),
    (
        "vp9",
        "webm",
        ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "0", "-crf", "{q:24:48}"),
    ),
    ("mpeg2", "ts", ("-c:v", "mpeg2video", "-q:v", "{q:2:10}")),
    (
        "hevc",
        "mp4",
        ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-crf", "{q:20:34}"),
    ),
)
_CODEC_WEIGHTS = (5, 1, 2, 2, 1, 1)
_SIZES = ((320, 240), (426, 240), (640, 360), (640, 480), (854, 480), (360, 640), (480, 480), (1280, 720))
_SIZE_WEIGHTS = (2, 3, 4, 2, 2, 1, 1, 1)
_RATES = (24.0, 25.0, 30.0, 24000 / 1001, 30000 / 1001, 15.0, 50.0, 60.0)
_RATE_WEIGHTS = (3, 5, 5, 1, 2, 1, 1, 1)
_LONGEST_WAY = {"pan": 2.6, "tilt": 2.6, "zoom": 0.9, "roll": 2.6}  # short sides, log scale, radians
_TALLEST = 1200  # pixels of the filtered picture; taller ones only cost time
_SLOW_ENOUGH = {"pan": 0.35, "tilt": 0.35, "zoom": 0.25, "roll": 0.8}  # of a pair, which must fit in one picture


@dataclass(frozen=True)
class Truth:
    """What one file shows.

    Attributes:
        file: its name.
        moves: in order of time.
        duration_s, width, height, rate, codec, container: of the file.
        route: which filters made it.
        speed_rank: of the first move among its kind, 0 to 1.
        subject: whether something else moves before the background.
        photograph: the picture's path.
    """

    file: str
    moves: tuple[Move, ...]
    duration_s: float
    width: int
    height: int
    rate: float
    codec: str
    container: str
    route: str
    speed_rank: float
    subject: bool
    photograph: str


def plan(
    number: int, photographs: list[str], *, seed: int, pairs: bool, light: bool = False
) -> tuple[Truth, list[str]]:
    """What file `number` shows, and FFmpeg's arguments that make it (without the output's folder).

    Labels go round, so that every one is as frequent as the others; `pairs` puts two motions after each other;
    `light` makes small files of ordinary frame rate, which are quick to encode.
    """
    rng = random.Random(f"{seed}/{number}/{pairs}")
    label = LABELS[number % len(LABELS)]
    width, height = rng.choices(_SIZES, _SIZE_WEIGHTS)[0]
    rate = rng.choices(_RATES, _RATE_WEIGHTS)[0]
    if light:
        width, height, rate = 320, 240, rng.choice((24.0, 25.0, 30.0))
    codec, container, arguments = rng.choices(_CODECS, _CODEC_WEIGHTS)[0]
    moves = _pair(rng, label) if pairs else (_single(rng, label),)
    duration = max(move.end_s for move in moves)
    still = all(move.label == "static" for move in moves)
    tremor = rng.choice((0.0, 0.0, rng.uniform(0.0003, 0.0015 if still or pairs else 0.003)))
    frames = round(duration * rate)
    travel = sum(move.speed * (move.end_s - move.start_s) for move in moves if move.label.split()[0] in ("pan", "tilt"))
    # The frame must stay in the picture: the farther it goes, the smaller it is.
    view = min(0.62, 0.5 / max(0.25, travel)) * rng.uniform(0.75, 1.0)
    aspect = width / height
    turned = any(move.label.startswith("roll") for move in moves)
    if turned:
        # A frame that turns needs room for its diagonal.
        view = min(view, 0.95 * min(aspect, 1.0) / math.hypot(1.0, aspect))
    route = "perspective" if pairs or rng.random() < 0.6 else "classic"
    photograph, centre = _place(rng, photographs, moves, view=view, aspect=aspect, route=route)
    shape = rectangle(rng, moves, tremor=tremor, centre=centre)
    subject = rng.random() < 0.35
    picture_height = min(_TALLEST // 2 if light else _TALLEST, 2 * round(height / view / 2))
    picture_width = 2 * round(picture_height * aspect / 2)
    size = f"scale={picture_width}:{picture_height}:force_original_aspect_ratio=increase:flags=area"
    # Read and scaled once, then repeated.
    repeat = f"loop=loop=-1:size=1:start=0,setpts=N/{rate:.6f}/TB"
    prepare = f"[0:v]{size},crop={picture_width}:{picture_height},setsar=1,format=gbrp,{repeat}[ground]"
    graph = [prepare]
    ground = "ground"
    if subject:
        graph += _subject(rng, rate, picture_width, picture_height, view)
        ground = "scene"
    if route == "perspective":
        camera = perspective_filter(shape, rate=rate, view=view, aspect=aspect)
    else:
        # Twice the pixels of the output halve the rounding to whole pixels.
        camera = classic_filter(
            shape,
            view=view,
            width=2 * round(picture_width * view / 2),
            height=2 * round(picture_height * view / 2),
            rate=rate,
            frames=frames,
        )
    finish = [f"scale={width}:{height}:flags=bilinear", "setsar=1", *_looks(rng), "format=yuv420p"]
    graph.append(f"[{ground}]{camera},{','.join(finish)}[out]")
    quality = rng.random()
    name = f"{'pair' if pairs else 'clip'}-{number:05d}.{container}"
    command = ["-framerate", f"{rate:.6f}", "-i", photograph]
    command += ["-filter_complex", ";".join(graph), "-map", "[out]", "-frames:v", str(frames), "-r", f"{rate:.6f}"]
    command += [_quality(argument, quality) for argument in arguments]
    truth = Truth(
        file=name,
        moves=moves,
        duration_s=round(duration, 3),
        width=width,
        height=height,
        rate=round(rate, 3),
        codec=codec,
        container=container,
        route=route,
        speed_rank=round(speed_rank(moves[0].label, moves[0].speed), 3),
        subject=subject,
        photograph=photograph,
    )
    return truth, command


def make(truth: Truth, command: list[str], folder: Path) -> None:
    """Run FFmpeg unless the file is there already; raises RuntimeError with its last words."""
    target = folder / truth.file
    if target.exists():
        return
    partial = target.with_name(f"partial-{truth.file}")
    done = subprocess.run(
        [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-threads",
            "1",
            "-filter_complex_threads",
            "1",
            *command,
            str(partial),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{truth.file}: {done.stderr.strip()[-600:]}")
    partial.rename(target)


def to_json(truth: Truth) -> str:
    """One line of `truth.jsonl`."""
    return json.dumps(asdict(truth))


def read_truth(folder: Path) -> list[Truth]:
    """What the files of a folder show."""
    rows = [json.loads(line) for line in (folder / TRUTH_NAME).read_text().splitlines()]
    return [Truth(**{**row, "moves": tuple(Move(**move) for move in row["moves"])}) for row in rows]


def _single(rng: random.Random, label: str) -> Move:
    speed = draw_speed(rng, label)
    longest = _LONGEST_WAY.get(label.split(maxsplit=1)[0], 99.0)
    duration = rng.uniform(1.6, 4.0)
    return Move(label, speed, 0.0, max(1.3, min(duration, longest / speed)) if speed else duration)


def _pair(rng: random.Random, label: str) -> tuple[Move, Move]:
    other = rng.choice([name for name in LABELS if name != label])
    first, second = _single(rng, label), _single(rng, other)
    change = max(1.5, first.end_s)
    slower = [min(move.speed, _SLOW_ENOUGH.get(move.label.split()[0], move.speed)) for move in (first, second)]
    return (
        Move(label, slower[0], 0.0, change),
        Move(other, slower[1], change, change + max(1.5, second.end_s)),
    )


def _place(
    rng: random.Random,
    photographs: list[str],
    moves: tuple[Move, ...],
    *,
    view: float,
    aspect: float,
    route: str,
) -> tuple[str, tuple[float, float]]:
    """A picture, and the frame's centre in it (short sides) from where the camera has room and enough to see."""
    short = view * min(aspect, 1.0)  # of the frame, in heights of the picture
    reach = {"pan": 0.0, "tilt": 0.0, "zoom": 0.0}
    for move in moves:
        kind = move.label.split(maxsplit=1)[0]
        if kind in reach:
            reach[kind] += move.speed * (move.end_s - move.start_s) * (0.5 if len(moves) == 1 else 1.0)
    wide = 2.718 ** reach["zoom"]
    # A picture that is turned by the classic route turns about its own centre, which must be the frame's.
    turned = any(move.label.startswith("roll") for move in moves)
    fixed = turned and route == "classic"
    frame = (math.hypot(view, view * aspect),) * 2 if turned else (view * aspect, view)
    room_x = 0.0 if fixed else max(0.0, (aspect - frame[0] * wide) / 2 / short - reach["pan"])
    room_y = 0.0 if fixed else max(0.0, (1 - frame[1] * wide) / 2 / short - reach["tilt"])
    for _ in range(60):
        photograph = photographs[rng.randrange(len(photographs))]
        x, y = rng.uniform(-room_x, room_x), rng.uniform(-room_y, room_y)
        ends = [(x + side * reach["pan"], y + side * reach["tilt"]) for side in (-1, 0, 1)]
        if all(is_worth_filming(photograph, aspect=aspect, x=a * short, y=b * short, view=short) for a, b in ends):
            break
    return photograph, (x, y)


def _subject(rng: random.Random, rate: float, width: int, height: int, view: float) -> list[str]:
    """Something oval that crosses the picture on its own: the end of the chain is `[scene]`."""
    side = max(16, 2 * round(height * view * rng.uniform(0.15, 0.45) / 2))
    tall = max(16, 2 * round(side * rng.uniform(0.8, 1.8) / 2))
    speed = rng.choice((-1, 1)) * rng.uniform(0.05, 0.5) * height * view
    left = width / 2 - side / 2 - speed * 1.2 + rng.uniform(-0.3, 0.3) * height * view
    top = height / 2 - tall / 2 + rng.uniform(-0.3, 0.3) * height * view
    bob, beat = rng.uniform(0, 0.02) * height * view, rng.uniform(5, 14)
    kind = rng.choice(("testsrc2", f"color=c=0x{rng.randrange(1 << 24):06x}", "mandelbrot", "color=c=0x333344"))
    joint = ":" if "=" in kind else "="
    oval = "255*lt(hypot((X-W/2)/(W/2),(Y-H/2)/(H/2)),1)"
    return [
        f"{kind}{joint}s={side}x{tall}:r={rate:.6f},trim=end_frame=1,format=rgba,"
        f"geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='{oval}',loop=loop=-1:size=1[subject]",
        f"[ground][subject]overlay=x='{left:.1f}+{speed:.2f}*t':y='{top:.1f}+{bob:.2f}*sin({beat:.2f}*t)'"
        ":format=gbrp:shortest=0[scene]",
    ]


def _looks(rng: random.Random) -> list[str]:
    """Exposure, noise, softness and bars, each on some files."""
    looks = []
    if rng.random() < 0.3:
        looks.append(f"eq=brightness={rng.uniform(-0.12, 0.12):.3f}:contrast={rng.uniform(0.75, 1.3):.3f}")
    if rng.random() < 0.3:
        looks.append(f"noise=alls={rng.randrange(3, 18)}:allf=t")
    if rng.random() < 0.15:
        looks.append(f"gblur=sigma={rng.uniform(0.5, 1.6):.2f}")
    if rng.random() < 0.1:
        bar = rng.uniform(0.05, 0.14)
        for top in ("0", f"ih*{1 - bar:.3f}"):
            looks.append(f"drawbox=x=0:y={top}:w=iw:h=ih*{bar:.3f}:color=black:t=fill")
    return looks


def _quality(argument: str, quality: float) -> str:
    if not argument.startswith("{q:"):
        return argument
    best, worst = (int(value) for value in argument[3:-1].split(":"))
    return str(round(best + (worst - best) * quality))
