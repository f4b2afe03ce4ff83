"""TimeSformer: attention along time at each place, then within each frame. Written from the paper's equations."""
