from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from laps_server import shared_memory
from laps_server.shared_memory import SharedBlock, abandoned

HOLDS_ONE = """
import sys, time
from pathlib import Path
from laps_server import shared_memory
shared_memory.FOLDER = Path(sys.argv[1])
print(shared_memory.SharedBlock(4096).name, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Not the machine's own, where others' blocks may be."""
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    return tmp_path


def test_what_is_written_is_what_another_opener_reads(folder: Path) -> None:
    block = SharedBlock(64)
    block.write(16, np.arange(8, dtype=np.uint8).reshape(2, 4))
    content = (folder / block.name).read_bytes()
    assert (len(content), content[16:24]) == (64, bytes(range(8)))
    assert (folder / block.name).stat().st_mode & 0o777 == 0o600
    block.close()
    assert list(folder.iterdir()) == []


def test_the_killed_ones_are_found_once_and_the_living_left_alone(folder: Path) -> None:
    own = SharedBlock(64)
    (folder / "somebody-elses").touch()
    with subprocess.Popen([sys.executable, "-c", HOLDS_ONE, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert name in {path.name for path in folder.iterdir()}
        assert abandoned() == []
        other.kill()
    (left,) = abandoned()
    with left:
        assert left.name == name
        assert abandoned() == [], "somebody takes care of it"
        assert name in {path.name for path in folder.iterdir()}
    (left,) = abandoned()
    with left:
        left.remove()
    assert {path.name for path in folder.iterdir()} == {own.name, "somebody-elses"}
    own.close()


def test_one_that_others_still_have_open_is_found_abandoned(folder: Path) -> None:
    block = SharedBlock(64)
    block.close(keep_file=True)
    (left,) = abandoned()
    with left:
        assert left.name == block.name
        left.remove()
    assert list(folder.iterdir()) == []


def test_memory_that_is_not_there_is_an_error_now_and_not_a_crash_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    def full(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        SharedBlock(4096)
    assert list(folder.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
