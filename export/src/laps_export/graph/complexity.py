"""What a model costs: multiply-adds of one view and parameters, counted from the model itself.

fvcore follows one forward pass and counts convolutions, matrix products and linear layers, and one
operation an element for batch norms and pools. That is the count the paper's table has.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from laps_export.families.family import VideoModel

with warnings.catch_warnings():
    # fvcore compiles losses with torch.jit when imported, which torch has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import FlopCountAnalysis


@dataclass(frozen=True)
class Complexity:
    """The cost of a model.

    Attributes:
        gmacs: 1e9 multiply-adds for one view (T frames, one crop).
        parameters_m: 1e6 learned numbers.
    """

    gmacs: float
    parameters_m: float


def measure(model: VideoModel) -> Complexity:
    """Count by running the network once on one view of zeros; its mode is restored."""
    config, network = model.config, model.network
    view = torch.zeros(1, config.frames, 3, config.resolution, config.resolution)
    training = network.training
    with torch.inference_mode():
        analysis = FlopCountAnalysis(network.eval(), view)
        # Additions, activations and copies are not multiply-adds: nothing to warn of.
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        macs = analysis.total()
    network.train(training)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Complexity(gmacs=macs / 1e9, parameters_m=parameters / 1e6)
