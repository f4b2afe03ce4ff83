"""Text for terminals and pipes, drawn by pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-~=+*#"
_MINUTE_S, _HOUR_S = 60, 3600


def printable(text: str) -> str:
    """The text as one line without control characters, since file names may hold line breaks and escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of ``share`` of ``width`` cells, in eighths of a cell.

    >>> bar(0.5, 4), bar(0.5, 3), bar(0.5, 4, ascii_only=True)
    ('██  ', '█▌ ', '##  ')
    """
    share = min(1.0, max(0.0, share))
    if ascii_only:
        return ("#" * round(share * width)).ljust(width)
    eighths = round(share * width * 8)
    cells = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return cells.ljust(width)


def sparkline(values: Sequence[float], *, width: int, top: float = 1.0, ascii_only: bool = False) -> str:
    """Values from 0 to ``top`` as a row of blocks; more than ``width`` values are averaged.

    >>> sparkline([0, 0.5, 1], width=8)
    '▁▅█'
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    count = min(width, len(values))
    edges = [len(values) * place // count for place in range(count + 1)] if count else []
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    scale = len(levels) / top if top > 0 else 0.0
    return "".join(levels[min(len(levels) - 1, max(0, int(mean * scale)))] for mean in means)


def clock(seconds: float) -> str:
    """A point in a video.

    >>> clock(5), clock(72.5), clock(3661)
    ('0:05', '1:12.5', '1:01:01')
    """
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    fraction = f".{tenth}" if tenth else ""
    minutes, rest = divmod(whole, _MINUTE_S)
    hours, minutes = divmod(minutes, _HOUR_S // _MINUTE_S)
    return f"{hours}:{minutes:02}:{rest:02}{fraction}" if hours else f"{minutes}:{rest:02}{fraction}"


def percent(share: float) -> str:
    """As papers print it.

    >>> percent(0.7604)
    '76.04 %'
    """
    return f"{share * 100:.2f} %"
