"""Camera motions as FFmpeg expressions: a moving rectangle in a still picture, by two unrelated routes.

Nothing here is shared with the training data. A motion is where the centre of the frame lies, how much it sees
and how it is turned, each an expression in the time `T`. The route `perspective` maps the rectangle's corners at
fractions of a pixel; the route `classic` is what people type: crop, zoompan and rotate, with their rounding.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LABELS = (
    "static",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "roll clockwise",
    "roll counterclockwise",
    "handheld shake",
)
SPEEDS = {
    "pan": (0.03, 1.2),
    "tilt": (0.03, 1.2),
    "zoom": (0.04, 0.7),
    "roll": (0.05, 1.5),
    "handheld": (0.012, 0.05),
}
"""Slowest and fastest: short sides a second, log scale a second, radians a second; rms of a shake in short sides."""


@dataclass(frozen=True)
class Move:
    """One motion between two moments.

    Attributes:
        label: one of `LABELS`.
        speed: in the unit of `SPEEDS`, 0 for static.
        start_s: when it begins.
        end_s: when it ends.
    """

    label: str
    speed: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Rectangle:
    """What the frame shows, as expressions in `T`: centre in short sides of the frame, log zoom, turn in radians.

    x grows to the right, y downwards; a positive turn is the camera's, clockwise.
    """

    x: str
    y: str
    zoom: str
    turn: str


def draw_speed(rng: random.Random, label: str) -> float:
    """Evenly over orders of magnitude."""
    kind = label.split(maxsplit=1)[0]
    if kind not in SPEEDS:
        return 0.0
    slow, fast = SPEEDS[kind]
    return float(slow * (fast / slow) ** rng.random())


def speed_rank(label: str, speed: float) -> float:
    """0 for the slowest of a kind, 1 for the fastest."""
    kind = label.split(maxsplit=1)[0]
    if kind not in SPEEDS:
        return 0.0
    slow, fast = SPEEDS[kind]
    position = 0.0
    ratio = fast / slow
    while ratio ** (position + 0.005) * slow < speed:
        position += 0.01
    return min(position, 1.0)


def rectangle(rng: random.Random, moves: tuple[Move, ...], *, tremor: float, centre: tuple[float, float]) -> Rectangle:
    """The sum of all moves about a centre, and a tremor of `tremor` short sides on it."""
    x, y, zoom, turn = [f"{centre[0]:.4f}"], [f"{centre[1]:.4f}"], ["0"], ["0"]
    if tremor > 0:
        x.append(_wobble(rng, tremor, (1.0, 6.0), 3))
        y.append(_wobble(rng, tremor, (1.0, 6.0), 3))
    for move in moves:
        # Time spent moving so far; constant before and after.
        spent = f"clip(T-{move.start_s:.4f},0,{move.end_s - move.start_s:.4f})"
        inside = f"between(T,{move.start_s:.4f},{move.end_s:.4f})"
        middle = (move.end_s - move.start_s) / 2
        way = f"({spent}-{middle:.4f})*{move.speed:.6f}" if len(moves) == 1 else f"{spent}*{move.speed:.6f}"
        kind, direction = [*move.label.split(), ""][:2]
        if kind == "pan":
            x.append(way if direction == "right" else f"-1*{way}")
        elif kind == "tilt":
            y.append(way if direction == "down" else f"-1*{way}")
        elif kind == "zoom":
            zoom.append(way if direction == "in" else f"-1*{way}")
        elif kind == "roll":
            turn.append(way if direction == "clockwise" else f"-1*{way}")
        elif kind == "handheld":
            x.append(f"{inside}*{_wobble(rng, move.speed, (1.4, 6.0), 5)}")
            y.append(f"{inside}*{_wobble(rng, move.speed, (1.4, 6.0), 5)}")
            turn.append(f"{inside}*{_wobble(rng, move.speed * rng.uniform(0, 0.5), (1.4, 5.0), 3)}")
    return Rectangle(*(f"({'+'.join(terms)})" for terms in (x, y, zoom, turn)))


def perspective_filter(shape: Rectangle, *, rate: float, view: float, aspect: float) -> str:
    """The picture's rectangle onto the whole frame, at fractions of a pixel.

    Args:
        shape: the moving rectangle.
        rate: frames a second of the filter's input.
        view: the frame at zoom 0 as a share of the input.
        aspect: width over height of the frame, and of the input.
    """
    time = f"(on/{rate:.6f})"
    x, y, zoom, turn = (term.replace("T", time) for term in (shape.x, shape.y, shape.zoom, shape.turn))
    unit = f"(H*{view * min(aspect, 1.0):.5f})"
    half_height = f"(H*{view * 0.5:.5f}*exp(-1*{zoom}))"
    half_width = f"({half_height}*{aspect:.6f})"
    corners = []
    for number, (side, end) in enumerate(((-1, -1), (1, -1), (-1, 1), (1, 1))):
        across, down = f"({side})*{half_width}", f"({end})*{half_height}"
        corners.append(f"x{number}='W/2+{unit}*{x}+({across})*cos({turn})-({down})*sin({turn})'")
        corners.append(f"y{number}='H/2+{unit}*{y}+({across})*sin({turn})+({down})*cos({turn})'")
    return f"perspective={':'.join(corners)}:interpolation=linear:sense=source:eval=frame"


def classic_filter(shape: Rectangle, *, view: float, width: int, height: int, rate: float, frames: int) -> str:
    """Rotate, then crop, then zoompan, as people write them; only what moves is used.

    The input is a still picture whose frame is `width` x `height` pixels at zoom 0 times 1 / `view`.
    """
    unit = min(width, height)
    chain = []
    if shape.turn != "(0)":
        # The picture turns against the camera.
        chain.append(f"rotate=angle='-1*{shape.turn.replace('T', 't')}':ow=iw:oh=ih:c=black")
    x, y = (term.replace("T", "t") for term in (shape.x, shape.y))
    if shape.zoom == "(0)":
        chain.append(f"crop=w={width}:h={height}:x='(iw-ow)/2+{unit}*{x}':y='(ih-oh)/2+{unit}*{y}':exact=1")
        return ",".join(chain)
    time = f"(on/{rate:.6f})"
    zoom = f"exp({shape.zoom.replace('T', time)})/{view:.5f}"
    x, y = (term.replace("T", time) for term in (shape.x, shape.y))
    chain.append(
        f"zoompan=z='{zoom}':x='iw/2+{unit}*{x}-iw/zoom/2':y='ih/2+{unit}*{y}-ih/zoom/2'"
        f":d=1:s={width}x{height}:fps={rate:.6f}"
    )
    return ",".join(chain) + f",trim=end_frame={frames}"


def _wobble(rng: random.Random, rms: float, band_hz: tuple[float, float], waves: int) -> str:
    """A sum of sines with a given root mean square."""
    weights = [rng.uniform(0.4, 1.0) for _ in range(waves)]
    total = sum(weight * weight for weight in weights) ** 0.5
    terms = [
        f"{rms * weight / total * 2**0.5:.6f}*sin({6.2832 * rng.uniform(*band_hz):.4f}*T+{rng.uniform(0, 6.28):.3f})"
        for weight in weights
    ]
    return f"({'+'.join(terms)})"
