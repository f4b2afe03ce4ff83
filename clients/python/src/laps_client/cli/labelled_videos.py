"""Lists of videos and their labels: ``path,label`` as CSV, or ``path index`` as the Kinetics lists are.

They are UTF-8, or UTF-16 with its byte order mark, which the ``>`` of Windows PowerShell 5.1 writes.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from laps_client.cli.exit_status import wrong_use

_HEADERS = frozenset({"path", "video", "file", "name", "filename", "filepath", "videoname", "videopath"})
_SPACES = re.compile(r"[\s_]+")
_INDEX = re.compile(r"[0-9]{1,9}")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class LabelledVideo(os.PathLike[str]):
    """One line: ``name`` is the path as the list has it, ``file`` where that is, ``label`` an index of the model's."""

    name: str
    file: str
    label: int

    def __fspath__(self) -> str:
        return self.file


class LabelNames:
    """A model's labels as lists name them: by index, or by name in any case, with spaces or underscores."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._exact = {name: index for index, name in enumerate(names)}
        self._loose: dict[str, int | None] = {}
        for index, name in enumerate(names):
            loose = _loosely(name)
            # Of names that look alike, each can only be found exactly as it is.
            self._loose[loose] = None if loose in self._loose else index

    def find(self, text: str) -> int | None:
        """The index that the text means: that of the label of this name, else the number itself."""
        if text in self._exact:
            return self._exact[text]
        if (found := self._loose.get(_loosely(text))) is not None:
            return found
        number = int(text) if _INDEX.fullmatch(text) else len(self.names)
        return number if number < len(self.names) else None


def read_list(path: Path, labels: LabelNames, *, root: Path | None) -> list[LabelledVideo]:
    """The videos of the list, each path once.

    Args:
        path: of the list. Paths in it are relative to ``root``, or to the list's own folder.
        labels: of the model.
        root: None for the list's folder.

    Raises:
        CommandFailed: it cannot be read or is not text, a line lacks its path or label, or a path has two labels.
    """
    try:
        text = _text(path.read_bytes())
    except OSError as exc:
        raise wrong_use(f"{path}: {exc.strerror}") from exc
    except UnicodeError as exc:
        raise wrong_use(f"{path} is no text: {exc}", "save it as UTF-8") from exc
    folder = path.parent if root is None else root
    videos: dict[str, LabelledVideo] = {}
    for number, name, label_text in _rows(text, labels):
        label = labels.find(label_text)
        if label is None:
            raise wrong_use(f"{path}, line {number}: {_no_label(label_text, labels)}", _label_hint(labels))
        video = LabelledVideo(name, str(folder / name), label)
        if videos.setdefault(name, video).label != label:
            raise wrong_use(f"{path}, line {number}: {name} comes a second time, with another label")
    if not videos:
        raise wrong_use(f"{path} lists nothing", "write a path and a label a line, as: clip.mp4,archery")
    return list(videos.values())


def _text(content: bytes) -> str:
    """What a list says, with ``\\n`` at the end of its lines.

    Raises:
        UnicodeError: it is neither UTF-8 nor, by its byte order mark, UTF-16.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16")
    else:
        text = content.decode("utf-8-sig", errors="surrogateescape")  # file names need not be UTF-8
    if "\0" in text:
        raise UnicodeError("it holds NUL characters, as UTF-16 without a byte order mark does")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(text: str, labels: LabelNames) -> Iterator[tuple[int, str, str]]:
    """Line number, path and label of each line; the first line with a known label shows the separator."""
    lines = [(number, stripped) for number, line in enumerate(text.split("\n"), 1) if (stripped := line.strip())]
    if lines and _is_header(lines[0][1], labels):
        del lines[0]
    if not lines:
        return
    separator = _separator(lines[0][1], labels)
    for number, line in lines:
        cells = _split(line, separator)
        if cells is None:
            raise wrong_use(f"line {number} of the list has no path and label: {line[:_SHOWN]!r}")
        yield number, *cells


def _separator(line: str, labels: LabelNames) -> str:
    splits = {separator: _split(line, separator) for separator in (",", "\t", " ")}
    fitting = [separator for separator, cells in splits.items() if cells is not None]
    known = [separator for separator in fitting if labels.find((splits[separator] or ("", ""))[1]) is not None]
    return next(iter([*known, *fitting]), ",")


def _split(line: str, separator: str) -> tuple[str, str] | None:
    """The path, which may hold spaces, and the label, which may hold them only in CSV."""
    if separator == ",":
        cells = next(csv.reader([line], skipinitialspace=True), [])
    elif separator == "\t":
        cells = line.split("\t")
    else:
        cells = line.rsplit(maxsplit=1)
    cells = [cell.strip() for cell in cells]
    return (cells[0], cells[1]) if len(cells) == 2 and all(cells) else None


def _is_header(line: str, labels: LabelNames) -> bool:
    """Whether the first cell is the name of a column and the second no label, since a video may have any name."""
    cells = _split(line, _separator(line, labels))
    return cells is not None and _SPACES.sub("", cells[0]).lower() in _HEADERS and labels.find(cells[1]) is None


def _loosely(name: str) -> str:
    return _SPACES.sub(" ", name).strip(" \"'").casefold()


def _no_label(text: str, labels: LabelNames) -> str:
    if _INDEX.fullmatch(text):
        return f"the model has labels 0 to {len(labels.names) - 1}, not {text[:_SHOWN]}"
    return f"the model has no label {text[:_SHOWN]!r}"


def _label_hint(labels: LabelNames) -> str:
    some = ", ".join(labels.names[:3])
    return f"labels are indices from 0, or names as {some}; laps models NAME --labels prints them"
