"""Every error that a user of the exporter can cause.

    LapsExportError
    ├── ConfigError        a variant, level, resolution, frame or class count that cannot be
    ├── CheckpointError    a weight file that is not what it should be
    ├── LabelsError        a label set that cannot name the model's outputs
    ├── RepositoryError    a model_repository entry that cannot be written or read
    ├── GraphError         an ONNX file that breaks the tensor contract
    ├── ParityError        ONNX Runtime does not repeat what torch computed
    ├── DataError          training data that is missing or cannot be made
    ├── TrainingError      a training run that cannot start, resume or go on
    ├── BuilderError       TensorRT's builder is not here, or failed
    └── FetchError         a package's archive that cannot be had, or is not the one that is pinned

Each error carries a stable `code` for programs, a message that names what was found, and a hint that
says what would be right. The command line turns them into exit codes (`cli.EXIT_CODES`).
"""

from __future__ import annotations


class LapsExportError(Exception):
    """Base of the tree.

    Attributes:
        code: stable, snake_case, for programs and tests.
        message: what is wrong, with the offending value.
        hint: what would be right; may be empty.
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(LapsExportError):
    """A model configuration, or an input for one, that cannot be."""


class CheckpointError(LapsExportError):
    """A weight file that cannot be read, or does not fit the model."""


class LabelsError(LapsExportError):
    """A label set that is missing, malformed or of the wrong size."""


class RepositoryError(LapsExportError):
    """A model_repository entry that cannot be written, or is damaged."""


class GraphError(LapsExportError):
    """An ONNX graph that is not valid or breaks the tensor contract."""


class ParityError(LapsExportError):
    """The exported graph does not compute what the torch model computes."""


class DataError(LapsExportError):
    """Photographs that are missing or unreadable, or settings that no clip can have."""


class TrainingError(LapsExportError):
    """A run that cannot start, cannot be resumed, or produced numbers that are not finite."""


class BuilderError(LapsExportError):
    """TensorRT's builder is not installed, or it built no plan."""


class FetchError(LapsExportError):
    """A package's source archive cannot be fetched, or is not the one that is pinned."""
