"""The real weights; skipped by name where their package cannot be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from laps_export.families.i3d.graph import build_graph
from laps_export.families.i3d.kinetics400 import ARCHIVE, I3D_KINETICS400
from laps_export.families.i3d.parity import check_parity, reference_input, run_from
from laps_export.families.i3d.weights import convolutions
from laps_export.families.numpy_pickle import read_arrays
from laps_export.graph.convolution_cost import count_gmacs
from laps_export.repository.label_set import load_labels
from support.i3d_archive import i3d_archive

ROOT = Path(__file__).parents[3]
# Logits of each step by the package's own network, for 32 frames of the same noise.
GOLDEN = ROOT / "tests" / "data" / "i3d_trained.npz"


@pytest.fixture(scope="module")
def weights() -> bytes:
    return ARCHIVE.read_member(i3d_archive())


@pytest.fixture(scope="module")
def graph(weights: bytes) -> onnx.ModelProto:
    return I3D_KINETICS400.build(weights)


def test_the_weights_pass_the_gate(graph: onnx.ModelProto) -> None:
    assert check_parity(graph) < 1e-4


def test_clips_of_another_length_give_what_the_package_does(weights: bytes) -> None:
    arrays = read_arrays(weights, name="weights")
    logits = run_from(build_graph(convolutions(arrays), frames=32), reference_input(32))[0]
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(logits, golden["seed_32/step_logits"], rtol=0, atol=1e-3)


def test_every_array_is_read_and_finite(weights: bytes) -> None:
    arrays = read_arrays(weights, name="weights")
    assert len(arrays) == 230
    assert all(np.isfinite(values).all() for values in arrays.values())


def test_it_costs_what_is_published(graph: onnx.ModelProto) -> None:
    assert count_gmacs(graph) == pytest.approx(111.153, abs=5e-4)


def test_a_kernel_turned_in_time_does_not_pass(weights: bytes, graph: onnx.ModelProto) -> None:
    """The weights are good enough to tell: it is the reference that finds what is wrong."""
    turned = onnx.ModelProto()
    turned.CopyFrom(graph)
    (kernel,) = (c for c in turned.graph.initializer if c.name == "Conv3d_1a_7x7.kernel")
    values = onnx.numpy_helper.to_array(kernel)[:, :, ::-1]
    kernel.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), kernel.name))
    right, wrong = (run_from(model, reference_input()) for model in (graph, turned))
    assert np.abs(right - wrong).max() > 1


def test_labels_are_the_400_in_the_order_of_the_alphabet() -> None:
    labels = load_labels(I3D_KINETICS400.labels).labels
    assert len(labels) == I3D_KINETICS400.classes
    assert list(labels) == sorted(labels)


def test_the_notice_names_all_three_licences_and_stands_at_the_root_too() -> None:
    notice = I3D_KINETICS400.notice()
    for words in ("Apache License, Version 2.0", "MIT License", "OSI Approved :: BSD License", "Wilson Yan", "Google"):
        assert words in notice
    assert notice in (ROOT / "NOTICE").read_text()
