"""What runs on Ray, measured: whether its machinery scales, what it costs a clip, and what goes over the network."""
