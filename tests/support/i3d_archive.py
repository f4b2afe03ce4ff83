"""The archive that I3D's weights come in: fetched once, into a folder that git ignores, and kept there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from laps_export.errors import FetchError
from laps_export.families.i3d.kinetics400 import ARCHIVE, I3D_KINETICS400
from laps_export.fetch.index import fetch_archive
from laps_export.fetch.pip_settings import read_pip_settings
from laps_export.repository.publish import locked
from laps_export.repository.write_packaged import write_packaged

REQUIRED = "LAPS_TESTS_NEED_KINETICS"
_FOLDER = Path(__file__).parents[2] / "build" / "packages"


def i3d_archive() -> bytes:
    """Its content; where it cannot be had the test is skipped, or fails if ``LAPS_TESTS_NEED_KINETICS`` is set."""
    outcome = _fetched()
    return outcome if isinstance(outcome, bytes) else _without(outcome)


def i3d_repository(folder: Path) -> Path:
    """A repository with i3d-kinetics400 in it, in ``folder``."""
    write_packaged(I3D_KINETICS400, i3d_archive(), folder)
    return folder


@cache
def _fetched() -> bytes | str:
    path = _FOLDER / ARCHIVE.file.name
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(_FOLDER):  # tests run in several processes
        if not path.is_file() or path.stat().st_size != ARCHIVE.file.size_bytes:
            try:
                content = fetch_archive(ARCHIVE, read_pip_settings())
            except FetchError as exc:
                return exc.message
            path.write_bytes(content)
        return path.read_bytes()


def _without(why: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, and {why}")
    pytest.skip(f"{ARCHIVE.package} {ARCHIVE.version} cannot be had here: {why}")
