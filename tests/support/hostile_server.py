"""A server that is sent what harms, and is asked afterwards whether it did."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from support.hostile_table import good
from support.live_servers import ServerProcess, running_server
from support.model_repositories import number_graph, write_model
from support.right_answer import Clocks, Film, wrong_clips
from support.server_traces import ServerTraces, children_of, peak_mib, wait_until_at_rest

CLOCKS = Clocks(frames=8, stride=4)
GOOD_FILM = Film.at_rate(100)
MAX_UPLOAD_BYTES = 8 * 2**20
IDLE_TIMEOUT_S = 1
MEMORY_MIB = 150
"""That a process of the server may take for a hostile file beyond what it takes for a good one."""
_SIZE = 64
_END_S = 15


def write_numbers_model(repository: Path) -> None:
    """The model that reads the number of each frame."""
    write_model(
        repository,
        "numbers",
        frames=CLOCKS.frames,
        stride=CLOCKS.stride,
        size=_SIZE,
        labels=[f"bit {bit}" for bit in range(12)],
        graph=number_graph(frames=CLOCKS.frames, size=_SIZE),
        activation="sigmoid",
        default_views="5x1",
    )


@dataclass(frozen=True)
class HostileServer:
    """A real server process, with what it holds at rest."""

    process: ServerProcess
    key: str
    uploads: Path
    film: bytes
    rest: ServerTraces
    rest_mib: int

    def ask(self, **request: Any) -> httpx.Response:
        """Send one request over a connection of its own."""
        with self.client() as client:
            return client.post("/classify", **request)

    def client(self) -> httpx.Client:
        """For requests with the key, on connections that do not last."""
        headers = {"x-api-key": self.key, "connection": "close", "content-type": "application/octet-stream"}
        return httpx.Client(base_url=self.process.url, headers=headers, timeout=60)

    def check_unharmed(self) -> None:
        """The next good request is answered right, and nothing is left of those before it."""
        with self.client() as client:
            answer = client.post("/classify", params={"view_details": "true", "thumbnails": "true"}, content=self.film)
        assert answer.status_code == 200, answer.text
        assert wrong_clips(answer.json(), GOOD_FILM, CLOCKS) == []
        wait_until_at_rest(self.process, self.uploads, self.rest)
        assert _peak_mib(self.process) < self.rest_mib + MEMORY_MIB, "memory was taken for it"
        assert not any("Traceback" in line for line in self.process.log), "".join(self.process.log)


@contextmanager
def hostile_server(folder: Path, **settings: str) -> Iterator[HostileServer]:
    """Start one; it has answered good requests already, as many as make it grow to its size at rest."""
    write_numbers_model(folder / "models")
    uploads = folder / "uploads"
    uploads.mkdir()
    film = good(folder).read_bytes()
    keys = [sys.executable, "-m", "laps_server", "keys", "add", "lab", "--file", str(folder / "keys.json")]
    key = subprocess.run(keys, check=True, capture_output=True, text=True).stdout.strip()
    env = {
        "LAPS_KEYS_FILE": str(folder / "keys.json"),
        "LAPS_UPLOAD_DIR": str(uploads),
        "LAPS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "LAPS_UPLOAD_IDLE_TIMEOUT_S": str(IDLE_TIMEOUT_S),
        **settings,
    }
    with running_server(folder / "models", env=env) as process:
        headers = {"x-api-key": key, "connection": "close"}
        for _ in range(3):
            httpx.post(f"{process.url}/classify", content=film, headers=headers, timeout=60).raise_for_status()
        yield HostileServer(process, key, uploads, film, ServerTraces.of(process, uploads), _peak_mib(process))
    # Its decoders end after it, and with them its log: other tests count this process's descriptors.
    deadline = time.monotonic() + _END_S
    while (log := process.process.stderr) is not None and not log.closed and time.monotonic() < deadline:
        time.sleep(0.01)


def _peak_mib(server: ServerProcess) -> int:
    return max(map(peak_mib, (server.process.pid, *children_of(server.process.pid))))
