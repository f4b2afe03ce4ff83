"""What a processor knows, from the words that Linux has for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from laps_server.engines.choices import Precision
from laps_server.engines.machine import Machine, gpu_names, parse_cpuinfo, this_machine

TWO_CORES = """\
processor	: 0
model name	: A Processor @ 2.60GHz
flags		: fpu sse4_2 avx2 avx512_bf16 amx_bf16

processor	: 1
model name	: A Processor @ 2.60GHz
flags		: fpu sse4_2 avx2 avx512_bf16
"""
ARM = """\
processor	: 0
Features	: fp asimd bf16
"""


def test_a_machine_knows_what_every_one_of_its_cores_knows() -> None:
    assert parse_cpuinfo(TWO_CORES) == Machine(
        "A Processor @ 2.60GHz", frozenset({"fpu", "sse4_2", "avx2", "avx512_bf16"})
    )


def test_where_no_name_is_told_the_architecture_is_one() -> None:
    machine = parse_cpuinfo(ARM)
    assert machine.processor
    assert machine.instruction_sets == {"fp", "asimd", "bf16"}


def test_of_what_is_unreadable_nothing_is_known() -> None:
    assert parse_cpuinfo("").instruction_sets == parse_cpuinfo("no colon\n:\n\n").instruction_sets == frozenset()


def test_this_machine_is_read_from_linux() -> None:
    assert this_machine("cpu").instruction_sets
    assert this_machine("cuda").device == "cuda"


@pytest.mark.parametrize(
    ("precision", "known", "best"),
    [
        ("bfloat16", {"avx512_bf16", "amx_bf16"}, "amx_bf16"),
        ("bfloat16", {"avx512_bf16"}, "avx512_bf16"),
        ("bfloat16", {"avx512f"}, None),
        ("float16", {"avx512_fp16"}, "avx512_fp16"),
        ("int8", {"avx_vnni", "avx512_vnni"}, "avx512_vnni"),
        ("float32", {"avx512f", "amx_bf16"}, None),
    ],
)
def test_the_best_instruction_set_of_a_precision(precision: Precision, known: set[str], best: str | None) -> None:
    assert Machine("", frozenset(known)).instruction_set(precision) == best


def test_gpus_are_named_as_their_driver_names_them(tmp_path: Path) -> None:
    for place, name in (("0000:41:00.0", "NVIDIA H200"), ("0000:01:00.0", "NVIDIA L4")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 120\n")
    assert gpu_names(tmp_path) == ("NVIDIA L4", "NVIDIA H200")
    assert gpu_names(tmp_path / "no driver") == ()
