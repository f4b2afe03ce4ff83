"""A run says what it was made on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import machine

CPUINFO = """\
processor\t: 0
model name\t: A Processor @ 2.60GHz
cpu MHz\t\t: 2599.998
flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni amx_tile {more}
"""


def proc(folder: Path, more: str) -> Path:
    (folder / "cpuinfo").write_text(CPUINFO.format(more=more))
    (folder / "meminfo").write_text("MemTotal:       25165824 kB\nMemFree: 1 kB\n")
    (folder / "loadavg").write_text("1.50 1.00 0.50 1/100 1234\n")
    (folder / "stat").write_text("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n")
    return folder


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "BUSY_AFTER_S", 0.0)


@pytest.mark.parametrize(
    ("more", "without_amx"), [pytest.param("", True, id="none"), pytest.param("amx_bf16 amx_int8", False, id="amx")]
)
def test_what_it_is_and_which_instruction_sets_it_has(tmp_path: Path, more: str, without_amx: bool) -> None:
    found = machine.describe(proc(tmp_path, more))
    assert (found.cpu, found.clock_mhz, found.memory_gib, found.load) == ("A Processor @ 2.60GHz", 2599.998, 24, 1.5)
    assert {"avx512_bf16", "avx512_vnni", *more.split()} <= set(found.instruction_sets)
    assert found.has_bf16_without_amx is without_amx
    assert "A Processor" in found.line


def test_how_busy_it_is_is_the_share_that_was_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = proc(tmp_path, "")

    def others_work(_: float) -> None:
        (folder / "stat").write_text("cpu  160 0 65 820 55 0 0 0 0 0\n")  # 75 busy, 25 idle or waiting

    monkeypatch.setattr("time.sleep", others_work)
    assert machine.describe(folder).busy == pytest.approx(0.75)
