"""What the exporter must know of a trained network that a package carries: from its archive to a served entry.

Such a network needs no torch: its graph is written node by node from the arrays in the archive. It is the second kind
of family; the first, `family.Family`, has networks in torch and weights that its users bring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from laps_export.families.family import Normalisation, SamplingRule
from laps_export.fetch.pinned_archive import PinnedArchive


@dataclass(frozen=True, kw_only=True)
class PackagedServing:
    """How the network wants to be served: keys of the manifest.

    Attributes:
        sampling: rule by which clips are placed in a video's time.
        stride: moments from one sampled picture to the next.
        default_views: temporal x spatial views of a video where a request says nothing.
        short_side: to what a video's short side is resized before the crop, in pixels.
        max_batch: largest batch of views; memory sets it.
    """

    sampling: SamplingRule
    stride: int
    default_views: str
    short_side: int
    max_batch: int


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """One row of `packaged_models.PACKAGED_MODELS`.

    Attributes:
        name: of the entry.
        family: in the manifest, as `variant`.
        variant: in the manifest.
        archive: where the weights come from.
        labels: the shipped set that names its outputs.
        frames: T.
        resolution: height and width of a frame in pixels.
        classes: K.
        steps: first and last place of the clip that each row of logits speaks for.
        embedding: D of the graph's second output; None where it has none.
        pixels: normalisation, part of the graph.
        serving: how it is served.
        build: content of the archive's member to the graph.
        check: the gate: the graph's largest difference from what the package's own network computes; raises
            `ParityError`.
        tolerance: what the gate allows.
        licences: who licenses what, and how.
        notice: text that goes with every copy of the weights.
    """

    name: str
    family: str
    variant: str
    archive: PinnedArchive
    labels: str
    frames: int
    resolution: int
    classes: int
    steps: tuple[tuple[int, int], ...]
    embedding: int | None
    pixels: Normalisation
    serving: PackagedServing
    build: Callable[[bytes], onnx.ModelProto]
    check: Callable[[onnx.ModelProto], float]
    tolerance: float
    licences: Mapping[str, str]
    notice: Callable[[], str]
