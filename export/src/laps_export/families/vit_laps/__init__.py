"""Leap attention and periodic shift on a vision transformer: the LAPS authors' second backbone."""
