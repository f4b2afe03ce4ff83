"""Leap attention and periodic shift on a Visformer: the networks of the LAPS paper, and small ones of our own."""
