"""The LAPS video transformers in PyTorch, and their way from a checkpoint to a served model."""

__version__ = "0.1.0"
