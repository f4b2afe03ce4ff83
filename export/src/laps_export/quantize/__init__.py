"""A model's graph in int8: calibrated on views of the user's videos, and held to what it answers in float32."""
