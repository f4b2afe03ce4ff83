from __future__ import annotations

from pathlib import Path

import pytest

from laps_export.errors import ConfigError
from laps_export.quantize.instruction_set import int8_instruction_set


def written(path: Path, *flags: str) -> Path:
    path.write_text("".join(f"processor\t: {n}\nflags\t\t: fpu {line} avx2\n\n" for n, line in enumerate(flags)))
    return path


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        (["avx_vnni avx512_vnni amx_int8"] * 2, "amx_int8"),
        (["avx_vnni avx512_vnni amx_int8", "avx_vnni avx512_vnni"], "avx512_vnni"),
        (["avx_vnni"], "avx_vnni"),
    ],
    ids=["all", "what every core has", "one"],
)
def test_the_best_is_named(tmp_path: Path, flags: list[str], best: str) -> None:
    assert int8_instruction_set(written(tmp_path / "cpuinfo", *flags)) == best


@pytest.mark.parametrize("flags", [["sse2"], []], ids=["old", "not said"])
def test_a_processor_without_int8_is_refused(tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        int8_instruction_set(written(tmp_path / "cpuinfo", *flags))
    assert caught.value.code == "no_int8"
    with pytest.raises(ConfigError):
        int8_instruction_set(tmp_path / "missing")
