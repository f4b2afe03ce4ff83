"""TDN: a ResNet over segments of five frames that adds differences of frames, and of segments, to its features.

And GC-TDN: the same with each quarter of a block's channels scaled by another part of what surrounds it.
"""
