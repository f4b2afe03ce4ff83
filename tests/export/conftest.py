"""Fixtures around one small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from laps_export.families.family import Variant
from laps_export.families.laps.family import LAPS
from laps_export.families.laps.visformer import Laps
from laps_export.graph.onnx_export import export_onnx
from laps_export.repository.label_set import LabelSet
from support.registered import register
from support.small_laps import LABELS, SMALL, as_model, build_small


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def small_model() -> Laps:
    """Golden weights, evaluation mode, a fresh copy for every test."""
    return build_small()


@pytest.fixture(scope="session")
def small_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_model` as an ONNX file; not to be written to."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(as_model(build_small()), path)
    return path


@pytest.fixture
def small_labels() -> LabelSet:
    return LABELS


@pytest.fixture
def small_variant(monkeypatch: pytest.MonkeyPatch) -> str:
    """The small model as a row of its family's table."""
    register(monkeypatch, replace(LAPS, variants={**LAPS.variants, "small": Variant(SMALL)}))
    return "small"
