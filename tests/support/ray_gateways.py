"""``laps-server ray-serve`` as a process, with the Ray of this machine that it starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from support.live_servers import ServerProcess
from support.server_traces import children_of, title_of

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
        **{name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"},
        # Of a token in this user's home Ray would know otherwise, or write one.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _TOKEN,
        "LAPS_RAY_OBJECT_STORE_MIB": "100",
        "LAPS_RAY_REPLICA_CPUS": "0.5",
        "LAPS_RAY_MIN_REPLICAS": str(replicas),
        "LAPS_RAY_MAX_REPLICAS": str(replicas),
        "LAPS_RAY_REPLICA_PORT": str(free_port()),
        "LAPS_THREADS": "1",
    }


def deploy_again(server: ServerProcess, cluster: str, repository: Path, *, replicas: int) -> None:
    """Put new replicas in the place of those that run, as a release does."""
    deploy(cluster, port_of(server.url), repository, env=gateway_environment(replicas))


def deploy(
    cluster: str, port: int, repository: Path, *, env: Mapping[str, str], command: Sequence[str] | None = None
) -> None:
    """Leave replicas in a cluster that runs; ``command`` stands for ``laps-server ray-serve``."""
    where = ["--address", cluster, "--detach", "--port", str(port), "--model-repository", str(repository)]
    done = subprocess.run(
        [*(command or _COMMAND), *where], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def started_cluster(cores: int) -> Iterator[str]:
    """A Ray that somebody else started, by Ray's own tool; yields its address."""
    port = free_port()
    options = [f"--port={port}", f"--num-cpus={cores}", "--include-dashboard=false", "--object-store-memory=104857600"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=gateway_environment(1),
    )
    assert process.stdout is not None
    with process.stdout as said:
        try:
            lines = []
            for line in said:
                lines.append(line)
                if "Ray runtime started" in line:
                    break
            assert process.poll() is None, "".join(lines)
            yield f"127.0.0.1:{port}"
        finally:
            # At once: ending it takes Ray half a minute.
            for one in (process.pid, *children_of(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            process.wait()


def port_of(url: str) -> int:
    """Where a server listens."""
    return int(url.rpartition(":")[2])


def replica_addresses(server: ServerProcess, number: int) -> list[str]:
    """Where each replica listens, once there are so many."""
    return addresses_at(server.url, number)


def addresses_at(url: str, number: int, **headers: str) -> list[str]:
    """Likewise, of what is not this process's."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        (found,) = httpx.get(f"{url}/replicas", headers=headers, timeout=60).raise_for_status().json()
        addresses: list[str] = found["targets"]
        if len(addresses) == number:
            return addresses
        assert time.monotonic() < deadline, addresses
        time.sleep(0.2)


def replica_processes(server: ServerProcess) -> list[int]:
    """Processes of replicas, below the Ray that the command started."""
    return [child for child in children_of(server.process.pid) if title_of(child).startswith("ray::ServeReplica")]


def free_port() -> int:
    """Of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return min(port, 60_000)


def usage_reports(process: int) -> set[str | None]:
    """What Ray's daemons below a process were told about reports of its use to its makers."""
    daemons = [
        child for child in children_of(process) if "/gcs_server" in title_of(child) or "/raylet/" in title_of(child)
    ]
    assert len(daemons) >= 2
    return {_variable(daemon, "RAY_USAGE_STATS_ENABLED") for daemon in daemons}


_TOKEN = uuid.uuid4().hex
_COMMAND = [sys.executable, "-m", "laps_server", "ray-serve"]


def _variable(process: int, name: str) -> str | None:
    entries = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return dict(entry.partition("=")[::2] for entry in entries).get(name)
