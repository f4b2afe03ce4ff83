"""The LAPS video transformers in PyTorch, and their way from a checkpoint to a served model."""

from importlib.metadata import version as _version

__version__ = _version("laps-export")
