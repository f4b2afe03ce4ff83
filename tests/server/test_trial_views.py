"""The views that engines are tried on: real ones, of whatever shape a model wants, and all of them different."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from laps_server.engines.registry import ENGINES
from laps_server.models.repository import discover, read_model
from laps_server.settings import Settings
from laps_server.trial_views import trial_views
from support.model_repositories import write_model

ROOT = Path(__file__).parents[2]
MODEL = "camera-motion"


@pytest.mark.parametrize(
    "shape", [{"frames": 4, "size": 32, "stride": 2}, {"frames": 64, "size": 16, "stride": 1}], ids=["short", "long"]
)
def test_views_fit_the_model_and_each_shows_something_else(tmp_path: Path, shape: dict[str, int]) -> None:
    manifest = read_model(write_model(tmp_path, **shape), 1).manifest  # type: ignore[arg-type]
    views = trial_views(manifest)
    assert views.shape[1:] == manifest.clip_shape
    assert views.dtype == np.uint8
    assert len(views) >= 8
    flat = views.reshape(len(views), -1).astype(np.float64)
    distances = np.abs(flat[:, None] - flat[None]).mean(axis=-1)  # [V, V]
    assert distances[~np.eye(len(views), dtype=bool)].min() > 10


async def test_the_shipped_model_has_another_label_for_each() -> None:
    (files,) = (files for files in discover(ROOT / "model_repository", versions="latest") if files.name == MODEL)
    with ThreadPoolExecutor(1) as executor:
        engine = ENGINES["ort"].build(files, "float32", Settings(threads=1), executor)
        await engine.start(())
        logits = [(await engine.infer(view[None])).logits.mean(axis=1) for view in trial_views(files.manifest)]
        await engine.close()
    assert {int(row.argmax()) for row in np.concatenate(logits)} == set(range(len(files.labels)))
