"""Fixtures around one small model; torch comes with the tests that use it, since others are quicker without."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from laps_export.repository.label_set import LabelSet

if TYPE_CHECKING:
    from laps_export.families.laps.visformer import Laps


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(2)


@pytest.fixture
def small_model() -> Laps:
    """Golden weights, evaluation mode, a fresh copy for every test."""
    from support.small_laps import build_small

    return build_small()


@pytest.fixture(scope="session")
def small_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_model` as an ONNX file; not to be written to."""
    from laps_export.graph.onnx_export import export_onnx
    from support.small_laps import as_model, build_small

    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(as_model(build_small()), path)
    return path


@pytest.fixture
def small_labels() -> LabelSet:
    from support.small_laps import LABELS

    return LABELS


@pytest.fixture
def small_variant(monkeypatch: pytest.MonkeyPatch) -> str:
    """The small model as a row of its family's table."""
    from laps_export.families.family import Variant
    from laps_export.families.laps.family import LAPS
    from support.registered import register
    from support.small_laps import SMALL

    register(monkeypatch, replace(LAPS, variants={**LAPS.variants, "small": Variant(SMALL)}))
    return "small"
