"""Weights from which the training of camera motion starts: what a token says, and what changed about it."""
