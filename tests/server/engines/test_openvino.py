"""What is OpenVINO's own, beside the contract that all engines keep."""

from __future__ import annotations

import subprocess
import sys

_WATCHED = """
import sys
seen = []
outside = ("socket.", "os.fork", "subprocess.")
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(outside) else None)
import laps_server.engines.openvino
assert "openvino" in sys.modules
print(seen)
"""


def test_its_import_tells_nobody_and_starts_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", _WATCHED], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
