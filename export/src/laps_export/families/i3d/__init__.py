"""I3D (Inception v1 inflated to three dimensions, RGB): a trained Kinetics-400 network, without torch.

Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017. ``network.py`` is the table of its parts, ``weights.py``
reads the trained arrays, ``graph.py`` writes the ONNX graph.
"""
