"""Views of the user's videos, as a server feeds them: written by `laps-server views`, read here.

The exporter has no sampling of its own. Which frames a clip has and how they are resized and cropped is the server's,
and a graph that was calibrated on other pictures than it will see is calibrated wrongly.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laps_export.errors import ConfigError, DataError
from laps_export.graph.tensor_contract import TensorContract
from laps_export.quantize.parity_limits import MIN_VIEWS

Views = NDArray[np.uint8]

CALIBRATION_VIEWS = 300
TUNING_VIEWS = 200
DEFAULT_VIEWS = CALIBRATION_VIEWS + TUNING_VIEWS + MIN_VIEWS

_COMMAND = "laps-server"


@dataclass(frozen=True)
class ViewSets:
    """Views `[N, T, H, W, 3]` by what they are for; no set has a view of another's.

    Attributes:
        calibration: whose activations are measured.
        tuning: on which it is decided what stays in float32.
        gate: on which the parity is held.
    """

    calibration: Views
    tuning: Views
    gate: Views


def read_views(path: Path, contract: TensorContract) -> ViewSets:
    """Open a file of views; they stay on disk and are read as they are used.

    Raises:
        DataError: `unreadable_views`, `views_differ` or `too_few_views`.
    """
    try:
        views = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as exc:
        raise DataError(f"{path} cannot be read as a NumPy array: {exc}", code="unreadable_views") from exc
    wanted = contract.clip_shape
    if views.dtype != np.uint8 or views.shape[1:] != wanted:
        raise DataError(
            f"{path} holds {views.dtype} {list(views.shape)}, the model takes uint8 [N, {', '.join(map(str, wanted))}]",
            code="views_differ",
            hint="write it with `laps-server views --model` and this model's name",
        )
    if len(views) < DEFAULT_VIEWS:
        raise DataError(
            f"{path} holds {len(views)} views, {DEFAULT_VIEWS} are needed:"
            f" {CALIBRATION_VIEWS} to calibrate, {TUNING_VIEWS} to tune, {MIN_VIEWS} to check",
            code="too_few_views",
            hint="give a folder with more videos, or longer ones",
        )
    tuning = CALIBRATION_VIEWS + TUNING_VIEWS
    return ViewSets(views[:CALIBRATION_VIEWS], views[CALIBRATION_VIEWS:tuning], views[tuning:])


def write_views(videos: Path, out: Path, *, model: str, version: int, repository: Path, count: int, size: int) -> None:
    """Have the server's command take views of a folder's videos, and write them to `out`.

    Args:
        videos: the folder.
        out: the file, on a disk that must hold it.
        model, version, repository: whose views.
        count: how many.
        size: bytes of one view.

    Raises:
        ConfigError: `no_server`, its command is not installed.
        DataError: `no_space`, or `no_views` where it failed; what it said is on the error stream.
    """
    free = shutil.disk_usage(out.parent).free
    if free < count * size:
        raise DataError(
            f"{count} views take {count * size / 1e9:.1f} GB, {out.parent} has {free / 1e9:.1f}",
            code="no_space",
            hint="TMPDIR names another folder for them; or take fewer with --views",
        )
    command = _find_command()
    options = ["--model", model, "--version", str(version), "--model-repository", str(repository)]
    run = [command, "views", str(videos), *options, "--count", str(count), "--out", str(out)]
    done = subprocess.run(run, check=False, stdout=subprocess.DEVNULL)
    if done.returncode != 0 or not out.exists():
        raise DataError(f"{videos} gave no views", code="no_views", hint="laps-server views says why")


def _find_command() -> str:
    """Beside this Python, as where all packages share an environment, or on the path."""
    beside = Path(sys.executable).with_name(_COMMAND)
    found = str(beside) if beside.exists() else shutil.which(_COMMAND)
    if found is None:
        raise ConfigError(
            f"views are taken by {_COMMAND}, which is not installed here",
            code="no_server",
            hint="pip install laps-server; or write a file with `laps-server views` elsewhere, and give --views-file",
        )
    return found
