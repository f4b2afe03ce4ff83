"""Adapters that run a model's graph, one a file."""
