"""Label sets: one label a line, line 1 names output 0.

Two orders of the same 400 Kinetics classes ship with the package, because the authors' class indices are
not alphabetical and the wrong order gives confident wrong answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from laps_export.errors import LabelsError

_SUFFIX = ".txt"


@dataclass(frozen=True)
class LabelSet:
    """The names of a model's outputs, in output order; checked at construction."""

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise `LabelsError` for labels that a file cannot hold or that do not tell outputs apart."""
        if not self.labels:
            raise LabelsError(f"label set {self.name!r} is empty", code="labels_empty", hint="one label a line")
        first_line: dict[str, int] = {}
        for number, label in enumerate(self.labels, start=1):
            self._check_label(number, label)
            if label in first_line:
                raise LabelsError(
                    f"lines {first_line[label]} and {number} of label set {self.name!r} are both {label!r}",
                    code="label_duplicate",
                    hint="every output needs a name of its own",
                )
            first_line[label] = number

    def _check_label(self, number: int, label: str) -> None:
        if not label.strip():
            raise LabelsError(
                f"line {number} of label set {self.name!r} is blank",
                code="label_blank",
                hint="one label a line: a blank line would shift every label after it",
            )
        if not label.isprintable():
            raise LabelsError(
                f"line {number} of label set {self.name!r} holds a control character: {label!r}",
                code="label_control_character",
                hint="labels are plain text",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def to_bytes(self) -> bytes:
        """The file a server reads: UTF-8, one label a line, a newline after each."""
        return "".join(f"{label}\n" for label in self.labels).encode()

    @property
    def sha256(self) -> str:
        """Hash of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def shipped_label_sets() -> tuple[str, ...]:
    """Names that `load_labels` takes without a file."""
    folder = resources.files("laps_export.repository") / "labelsets"
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(_SUFFIX)))


def load_labels(name_or_path: str) -> LabelSet:
    """A shipped label set by name, or a user's own file by path.

    Raises:
        LabelsError: `labels_not_found`, `labels_not_text`, `labels_empty`, `label_blank`,
            `label_duplicate` or `label_control_character`.
    """
    if name_or_path in shipped_label_sets():
        data = (resources.files("laps_export.repository") / "labelsets" / f"{name_or_path}{_SUFFIX}").read_bytes()
        return parse_labels(data, name=name_or_path)
    path = Path(name_or_path)
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise LabelsError(
            f"no label set {name_or_path!r}: {exc.strerror or exc}",
            code="labels_not_found",
            hint=f"shipped are {', '.join(shipped_label_sets())}; otherwise give the path of a labels.txt",
        ) from exc
    return parse_labels(data, name=path.stem)


def parse_labels(data: bytes, *, name: str) -> LabelSet:
    """Check and split the content of a label file.

    Raises:
        LabelsError: as `load_labels`.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise LabelsError(f"label set {name!r} is not UTF-8 text (byte {exc.start})", code="labels_not_text") from exc
    lines = [line.strip() for line in text.rstrip().split("\n")]
    return LabelSet(name=name, labels=() if lines == [""] else tuple(lines))
