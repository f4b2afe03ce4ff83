"""X3D: thin residual blocks whose middle convolution looks along time and at each channel by itself."""
