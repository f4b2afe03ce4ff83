"""The parts of I3D, as tables: what the weight file must hold, and what the graph is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CLASSES = 400
FEATURES = 1024
INPUT_SIZE = 224
BATCH_NORM_EPSILON = 1e-3
FRAMES_PER_STEP = 8  # the stride in time of everything in front of the last pooling
FRAMES_OF_A_STEP = 16  # that pooling joins two such strides

Kernel = tuple[int, int, int]  # (time, height, width)


@dataclass(frozen=True)
class Unit:
    """A convolution without bias, batch normalisation without scale, ReLU."""

    name: str  # as in the weight file: its parts are joined by dots
    kernel: Kernel
    stride: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each window; "same" padding, whose places never win."""

    kernel: Kernel
    stride: Kernel


@dataclass(frozen=True)
class Mixed:
    """An Inception block: four branches beside each other, their channels joined in this order.

    1x1x1 | 1x1x1, 3x3x3 | 1x1x1, 3x3x3 | max pool, 1x1x1.
    """

    name: str
    inputs: int
    widths: tuple[int, int, int, int, int, int]

    @property
    def branches(self) -> tuple[tuple[Unit, ...], ...]:
        """Each branch's units in order; the last branch has the pooling in front of them."""
        single, reduce_1, wide_1, reduce_2, wide_2, pooled = self.widths
        return (
            (self._unit("Branch_0/Conv3d_0a_1x1", 1, self.inputs, single),),
            (
                self._unit("Branch_1/Conv3d_0a_1x1", 1, self.inputs, reduce_1),
                self._unit("Branch_1/Conv3d_0b_3x3", 3, reduce_1, wide_1),
            ),
            (
                self._unit("Branch_2/Conv3d_0a_1x1", 1, self.inputs, reduce_2),
                self._unit("Branch_2/Conv3d_0b_3x3", 3, reduce_2, wide_2),
            ),
            (self._unit("Branch_3/Conv3d_0b_1x1", 1, self.inputs, pooled),),
        )

    @property
    def outputs(self) -> int:
        """Channels of all branches."""
        single, _, wide_1, _, wide_2, pooled = self.widths
        return single + wide_1 + wide_2 + pooled

    def _unit(self, name: str, size: int, inputs: int, outputs: int) -> Unit:
        return Unit(f"{self.name}.{name}", (size, size, size), 1, inputs, outputs)


_HALVE_IN_SPACE = MaxPool((1, 3, 3), (1, 2, 2))

LAYERS: tuple[Unit | MaxPool | Mixed, ...] = (
    Unit("Conv3d_1a_7x7", (7, 7, 7), 2, 3, 64),
    _HALVE_IN_SPACE,
    Unit("Conv3d_2b_1x1", (1, 1, 1), 1, 64, 64),
    Unit("Conv3d_2c_3x3", (3, 3, 3), 1, 64, 192),
    _HALVE_IN_SPACE,
    Mixed("Mixed_3b", 192, (64, 96, 128, 16, 32, 32)),
    Mixed("Mixed_3c", 256, (128, 128, 192, 32, 96, 64)),
    MaxPool((3, 3, 3), (2, 2, 2)),
    Mixed("Mixed_4b", 480, (192, 96, 208, 16, 48, 64)),
    Mixed("Mixed_4c", 512, (160, 112, 224, 24, 64, 64)),
    Mixed("Mixed_4d", 512, (128, 128, 256, 24, 64, 64)),
    Mixed("Mixed_4e", 512, (112, 144, 288, 32, 64, 64)),
    Mixed("Mixed_4f", 528, (256, 160, 320, 32, 128, 128)),
    MaxPool((2, 2, 2), (2, 2, 2)),
    Mixed("Mixed_5b", 832, (256, 160, 320, 32, 128, 128)),
    Mixed("Mixed_5c", 832, (384, 192, 384, 48, 128, 128)),
)
HEAD = "Logits/Conv3d_0c_1x1"


def units() -> Iterator[Unit]:
    """Every convolution with batch normalisation, in the order of the graph."""
    for layer in LAYERS:
        if isinstance(layer, Unit):
            yield layer
        elif isinstance(layer, Mixed):
            for branch in layer.branches:
                yield from branch


def array_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that a weight file must hold; kernels are (t, h, w, in, out)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for unit in units():
        shapes[f"params.{unit.name}.Conv_0.kernel"] = (*unit.kernel, unit.inputs, unit.outputs)
        shapes[f"params.{unit.name}.BatchNorm_0.bias"] = (unit.outputs,)
        shapes[f"batch_stats.{unit.name}.BatchNorm_0.mean"] = (1, 1, 1, 1, unit.outputs)
        shapes[f"batch_stats.{unit.name}.BatchNorm_0.var"] = (1, 1, 1, 1, unit.outputs)
    shapes[f"params.{HEAD}.Conv_0.kernel"] = (1, 1, 1, FEATURES, CLASSES)
    shapes[f"params.{HEAD}.Conv_0.bias"] = (CLASSES,)
    return shapes


def steps_of(frames: int) -> int:
    """Rows of logits of a clip.

    Raises:
        ValueError: not a whole number of steps, or none.
    """
    if frames % FRAMES_PER_STEP or frames < FRAMES_OF_A_STEP:
        raise ValueError(f"{frames} frames; a clip has {FRAMES_OF_A_STEP}, or more by steps of {FRAMES_PER_STEP}")
    return frames // FRAMES_PER_STEP - 1


def frames_of_step(step: int) -> tuple[int, int]:
    """First and last frame of the clip that a step's strides cover; its receptive field is wider."""
    return step * FRAMES_PER_STEP, step * FRAMES_PER_STEP + FRAMES_OF_A_STEP - 1
