"""Every variant of every family but the first, at full size with random weights: exported, served, asked over HTTP.

`make zoo` runs it and prints a line a variant, as docs/zoo.md has them. It takes minutes a variant.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from laps_export.families import registry
from support.golden_videos import golden_video
from support.live_servers import running_server

_OTHERS = list(registry.FAMILIES.values())[1:]
_VARIANTS = [name for family in _OTHERS for name in family.variants]
_WAIT_S = 1800


def _exported(variant: str, repository: Path) -> str:
    """What the export took: seconds, those of processors, and memory."""
    family, _ = registry.find_variant(variant)
    labels = [] if family.labels is not None else ["--labels", "kinetics400-alphabetical"]
    options = ["--random-weights", "--variant", variant, *labels, "--name", "trial", "--repository", repository]
    command = [Path(sys.executable).with_name("laps-export"), "onnx", *options]
    began = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)  # its own highest memory, which subprocess does not tell
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    wall_s, processor_s = time.monotonic() - began, used.ru_utime + used.ru_stime
    return f"{wall_s:.0f} s ({processor_s:.0f}), {used.ru_maxrss / 2**20:.1f} GiB"


def _processor_s(pid: int) -> float:
    """Of a process, its decoders not counted."""
    # Behind the name, which may have spaces: the 12th and 13th are user's and system's ticks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _highest_memory(pid: int) -> float:
    """In GiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 2**20


@pytest.mark.long
@pytest.mark.timeout(2 * _WAIT_S)
@pytest.mark.parametrize("variant", _VARIANTS)
def test_a_full_size_one_is_exported_and_answers(variant: str, tmp_path: Path) -> None:
    family, _ = registry.find_variant(variant)
    video = golden_video("arm_wrestling")
    exported = _exported(variant, tmp_path)
    with running_server(tmp_path, ready=False, env={"LAPS_DEFAULT_DEADLINE_S": str(_WAIT_S)}) as server:
        server.wait_ready(timeout_s=_WAIT_S)
        began, began_processor = time.monotonic(), _processor_s(server.process.pid)
        with video.open("rb") as file:
            answer = httpx.post(f"{server.url}/classify?views=1x1", files={"file": file}, timeout=_WAIT_S)
        classify_s = time.monotonic() - began
        processor_s = _processor_s(server.process.pid) - began_processor
        memory_gib = _highest_memory(server.process.pid)
        embedding = httpx.get(f"{server.url}/models/trial").json()["embedding"]
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert len(body["predictions"]) == 5
    assert any("random" in warning or "untrained" in warning for warning in body["warnings"]), body["warnings"]
    assert f"per_{body['frames']['kind']}" == family.output.value
    assert (embedding is None) == (family.embedding is None)
    sys.stdout.write(f"| {variant} | {exported} | {classify_s:.1f} s ({processor_s:.1f}) | {memory_gib:.1f} GiB |\n")
