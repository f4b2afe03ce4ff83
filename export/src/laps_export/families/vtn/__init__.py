"""VTN: a vision transformer on every frame, and over their class tokens a few layers that see nearby frames."""
