"""Serves video classification models over HTTP: decode, sample views, batch, answer."""

from importlib.metadata import version as _version

__version__ = _version("laps-server")
