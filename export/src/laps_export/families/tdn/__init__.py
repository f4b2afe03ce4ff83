"""TDN: a ResNet over segments of five frames that adds differences of frames, and of segments, to its features."""
