"""Whatever byte of a checkpoint is damaged, it is read or refused as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.checkpoint.safetensors_file import save_checkpoint
from laps_export.errors import LapsExportError
from laps_export.families.laps.visformer import Laps
from support.damaged_bytes import damaged
from support.golden_weights import AUTHORS_PREFIX
from support.small_laps import as_model

FILES = 250
HEADERS = 4096  # bytes at either end, where a file says what it holds


def written(form: str, folder: Path, model: Laps) -> bytes:
    path = folder / "whole.pth"
    if form == "safetensors":
        path = folder / "whole.safetensors"
        save_checkpoint(path, as_model(model))
    else:
        state = {AUTHORS_PREFIX + name: value for name, value in model.state_dict().items()}
        torch.save({"epoch": 3, "state_dict": state}, path, _use_new_zipfile_serialization=form == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("form", ["zip", "old", "safetensors"])
def test_damaged_files_are_told_whatever_byte_it_is(form: str, tmp_path: Path, small_model: Laps) -> None:
    whole = written(form, tmp_path, small_model)
    path = tmp_path / f"damaged.{'safetensors' if form == 'safetensors' else 'pth'}"
    ends = set()

    @settings(max_examples=FILES)
    @given(file=damaged(whole, most=6, ends=HEADERS))
    def is_told(file: bytes) -> None:
        path.write_bytes(file)
        try:
            load_weights(as_model(small_model), read_checkpoint(path))
        except LapsExportError as exc:
            ends.add(exc.code)
        else:
            ends.add("read")

    is_told()
    assert {"read", "not_a_checkpoint"} <= ends
