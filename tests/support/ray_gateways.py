"""``laps-server ray-serve`` as a process, with the Ray of this machine that it starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from support.live_servers import ServerProcess
from support.server_traces import children_of

_START_TIMEOUT_S = 400  # Ray starts six processes, which load all of it
_STOP_TIMEOUT_S = 180
_PATIENCE_S = 120


@contextmanager
def running_gateway(
    repository: Path, *, replicas: int, env: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Serve with so many replicas of half a core each, until the context ends."""
    process = subprocess.Popen(
        [*_COMMAND, "--port", "0", "--model-repository", str(repository)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**gateway_environment(replicas), **(env or {})},
    )
    try:
        yield ServerProcess.attached(process, _START_TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT_S)
            finally:
                process.kill()
        process.wait()


def gateway_environment(replicas: int) -> dict[str, str]:
    """Settings of a small gateway beside those of this process."""
    return {
        **os.environ,
        # Of a token in this user's home Ray would know otherwise, or write one.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _TOKEN,
        "LAPS_RAY_OBJECT_STORE_MIB": "100",
        "LAPS_RAY_REPLICA_CPUS": "0.5",
        "LAPS_RAY_MIN_REPLICAS": str(replicas),
        "LAPS_RAY_MAX_REPLICAS": str(replicas),
        "LAPS_RAY_REPLICA_PORT": str(_free_port()),
        "LAPS_THREADS": "1",
    }


def deploy_again(server: ServerProcess, cluster: str, repository: Path, *, replicas: int) -> None:
    """Put new replicas in the place of those that run, as a release does."""
    port = server.url.rpartition(":")[2]
    command = [*_COMMAND, "--address", cluster, "--detach", "--port", port, "--model-repository", str(repository)]
    done = subprocess.run(
        command, env=gateway_environment(replicas), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def replica_addresses(server: ServerProcess, number: int) -> list[str]:
    """Where each replica listens, once there are so many."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        (found,) = httpx.get(f"{server.url}/replicas", timeout=60).json()
        addresses: list[str] = found["targets"]
        if len(addresses) == number:
            return addresses
        assert time.monotonic() < deadline, addresses
        time.sleep(0.2)


def replica_processes(server: ServerProcess) -> list[int]:
    """Processes of replicas, below the Ray that the command started."""
    return [child for child in children_of(server.process.pid) if _title(child).startswith("ray::ServeReplica")]


_TOKEN = uuid.uuid4().hex
_COMMAND = [sys.executable, "-m", "laps_server", "ray-serve"]


def _title(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    return ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return min(port, 60_000)
