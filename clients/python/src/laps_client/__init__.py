"""Sends videos to a classification server and returns typed results."""

__version__ = "0.1.0"
