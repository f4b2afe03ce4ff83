"""What a model costs: multiply-adds of one view and parameters, counted from the model itself.

Shapes decide them, so a twin of the network without numbers is followed: some would take minutes and gigabytes. Counted
are convolutions, matrix products and linear layers, and a few operations an element for norms, pools and resizing, as
fvcore counts them. That is the count that the papers' tables have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from laps_export.families.family import VideoModel

_FLOPS_A_MAC = 2  # torch counts a multiply-add as two operations


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
    """Count by following one view through a twin of the network."""
    config = model.config
    # Inference mode shows norms and pools whole.
    with torch.device("meta"), torch.inference_mode():
        # The last step is for tables that a network made from numpy's arrays.
        network = model.family.build(config).to("meta").eval()
        view = torch.zeros(1, config.frames, 3, config.resolution, config.resolution)
        with _Counter() as counter:
            network(view)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Complexity(gmacs=counter.macs / 1e9, parameters_m=parameters / 1e6)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiply-adds of all that is called inside of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet in _BY_ELEMENT:
            answer = func(*args, **kwargs)
            self.macs += _BY_ELEMENT[packet](args[0], answer)
        elif packet in flop_registry:
            answer = func(*args, **kwargs)
            self.macs += flop_registry[packet](*args, **kwargs, out_val=answer) // _FLOPS_A_MAC
        else:
            with self:  # what it is made of is counted
                answer = func.decompose(*args, **kwargs)
            if answer is NotImplemented:
                answer = func(*args, **kwargs)
        return answer


_ATEN = torch.ops.aten
_BY_ELEMENT: dict[Any, Callable[[torch.Tensor, torch.Tensor], int]] = {
    _ATEN.batch_norm: lambda x, _: 2 * x.numel(),
    _ATEN.layer_norm: lambda x, _: 5 * x.numel(),
    _ATEN.adaptive_avg_pool2d: lambda x, _: x.numel(),
    _ATEN.upsample_nearest2d: lambda _, y: y.numel(),
}
