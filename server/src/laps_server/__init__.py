"""Serves video classification models over HTTP: decode, sample views, batch, answer."""

__version__ = "0.1.0"
