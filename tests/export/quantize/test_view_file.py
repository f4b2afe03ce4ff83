from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from laps_export.errors import ConfigError, DataError
from laps_export.graph.tensor_contract import TensorContract
from laps_export.quantize.view_file import CALIBRATION_VIEWS, DEFAULT_VIEWS, TUNING_VIEWS, read_views, write_views
from support.plain_videos import BLUE, RED, write_colour_video
from support.quantizable_models import FRAMES, SIZE, write_convolution

CONTRACT = TensorContract(frames=FRAMES, height=SIZE, width=SIZE, classes=4, steps=FRAMES)


def test_no_view_is_in_two_sets(tmp_path: Path) -> None:
    views = np.zeros((DEFAULT_VIEWS + 7, *CONTRACT.clip_shape), np.uint8)
    views[:, 0, 0, 0] = np.arange(len(views))[:, None] % 251
    np.save(tmp_path / "views.npy", views)
    sets = read_views(tmp_path / "views.npy", CONTRACT)
    assert [len(part) for part in (sets.calibration, sets.tuning, sets.gate)] == [CALIBRATION_VIEWS, TUNING_VIEWS, 1007]
    assert (np.concatenate([sets.calibration, sets.tuning, sets.gate]) == views).all()
    assert isinstance(sets.gate, np.memmap)  # and so not in memory


@pytest.mark.parametrize(
    ("shape", "dtype", "code"),
    [
        ((DEFAULT_VIEWS - 1, *CONTRACT.clip_shape), np.uint8, "too_few_views"),
        ((DEFAULT_VIEWS, *CONTRACT.clip_shape[1:]), np.uint8, "views_differ"),
        ((3, *CONTRACT.clip_shape), np.float32, "views_differ"),
    ],
    ids=["too few", "another shape", "floats"],
)
def test_other_files_are_refused(tmp_path: Path, shape: tuple[int, ...], dtype: type, code: str) -> None:
    np.save(tmp_path / "views.npy", np.zeros(shape, dtype))
    with pytest.raises(DataError) as caught:
        read_views(tmp_path / "views.npy", CONTRACT)
    assert caught.value.code == code


def test_a_file_that_is_no_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "views.npy").write_bytes(b"no array")
    for name in ("views.npy", "gone.npy"):
        with pytest.raises(DataError) as caught:
            read_views(tmp_path / name, CONTRACT)
        assert caught.value.code == "unreadable_views"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's command, where it is looked for: beside the Python."""
    path = tmp_path / "bin" / "laps-server"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m laps_server "$@"\n')
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path.with_name("python")))
    return path


def taken(tmp_path: Path, *, size: int = 1, model: str = "colours") -> Path:
    out = tmp_path / "views.npy"
    write_views(tmp_path / "videos", out, model=model, version=1, repository=tmp_path / "models", count=8, size=size)
    return out


@pytest.mark.server
@pytest.mark.usefixtures("command")
def test_the_servers_command_takes_views_of_videos(tmp_path: Path) -> None:
    write_convolution(tmp_path / "models")
    (tmp_path / "videos").mkdir()
    write_colour_video(tmp_path / "videos" / "red.mp4", [RED] * 20)
    write_colour_video(tmp_path / "videos" / "blue.mp4", [BLUE] * 20)
    views = np.load(taken(tmp_path))
    assert (views.shape, views.dtype) == ((8, *CONTRACT.clip_shape), np.dtype(np.uint8))
    assert len({tuple(view.mean(axis=(0, 1, 2)).astype(int) // 100) for view in views}) == 2


@pytest.mark.server
@pytest.mark.usefixtures("command")
def test_videos_that_give_no_views_are_an_error(tmp_path: Path) -> None:
    write_convolution(tmp_path / "models")
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError) as caught:
        taken(tmp_path)
    assert caught.value.code == "no_views"


def test_a_full_disk_is_told_before_hours_of_decoding(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        taken(tmp_path, size=2**60)
    assert caught.value.code == "no_space"


def test_a_server_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        taken(tmp_path)
    assert caught.value.code == "no_server"
