"""Servers as processes: started in their own environments, counted with all their children, ended as a group."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
_CPU_CLOCK = 2  # CPUCLOCK_SCHED of linux/posix-timers.h: a clock's number is made of a process's and this
START_TIMEOUT_S = 400.0  # Ray starts a dozen processes, and waits for each
END_TIMEOUT_S = 60.0
PEERS = ("fastapi_ort", "litserve", "zoo_handler", "triton")
ENVIRONMENTS = ROOT / "build" / "bench-peers"

Protocol = Literal["laps", "form", "triton"]


class ServerFailed(Exception):
    """A server that did not start, or ended, with the end of what it wrote."""


@dataclass(frozen=True)
class Server:
    """A running server; ``protocol`` is how it is asked."""

    url: str
    pid: int
    protocol: Protocol = "laps"

    @property
    def cpu_s(self) -> float:
        """Processor seconds so far of all its threads and processes, those that ended among them."""
        return family_cpu_s(self.pid)

    @property
    def resident_bytes(self) -> int:
        """Resident memory of all its processes now."""
        return sum(_status_bytes(pid, "VmRSS") for pid in family(self.pid))

    @property
    def peak_bytes(self) -> int:
        """The most that each of its processes had resident since :meth:`forget_peak`, added up."""
        return sum(_status_bytes(pid, "VmHWM") for pid in family(self.pid))

    def forget_peak(self) -> None:
        """Let :attr:`peak_bytes` begin anew."""
        for pid in family(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def family(pid: int) -> list[int]:
    """A process and its descendants that live."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:  # grows while it is walked
        found += children.get(one, [])
    return found


def family_cpu_s(pid: int) -> float:
    """Processor seconds so far of a process and its descendants, those that ended and were waited for among them."""
    return sum(_cpu_s(one) for one in family(pid))


def proportional_bytes(pid: int) -> int:
    """Memory of a process; of each page that it shares, its share."""
    return _kilobytes(f"/proc/{pid}/smaps_rollup", "Pss")


def _stat(pid: int) -> list[str]:
    """From the state on, which is behind the name; nothing where the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float:
    """By the process's own clock, which counts nanoseconds; its ended children's time is to be had in ticks alone."""
    try:
        own = time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    except OSError:  # it has ended
        return 0.0
    return own + sum(map(int, _stat(pid)[13:15])) / TICKS


def _status_bytes(pid: int, name: str) -> int:
    return _kilobytes(f"/proc/{pid}/status", name)


def _kilobytes(path: str, name: str) -> int:
    """A line of one of the kernel's tables, in bytes; 0 where the process has ended."""
    try:
        table = Path(path).read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", table, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def serving(
    checkout: Path,
    repository: Path | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    subcommand: str = "serve",
) -> Iterator[Server]:
    """The checkout's own server on a free port, until the context ends; ``settings`` go into its environment."""
    environment = own_environment(checkout, settings or {})
    folder = str(repository or checkout / "model_repository")
    port = free_port()
    command = [sys.executable, "-m", "laps_server", subcommand, "--port", str(port), "--model-repository", folder]
    with _running(command, environment, f"http://127.0.0.1:{port}", ready="/readyz") as server:
        yield server


def own_environment(checkout: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Of this process, for a command of the checkout with these settings and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAPS_")}
    return environment | {"PYTHONPATH": str(checkout / "server" / "src"), **settings}


@dataclass(frozen=True)
class Setting:
    """Processes that run a peer's model, threads of each, and views in one run."""

    workers: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads} threads, batches of {self.batch}"


@contextmanager
def serving_peer(name: str, model: Path, setting: Setting) -> Iterator[Server]:
    """A peer over one version's folder, in its own environment."""
    port = free_port()
    command = [str(ENVIRONMENTS / name / "bin" / "python"), str(ROOT / "bench" / "peers" / name / "server.py")]
    command += ["--model", str(model), "--port", str(port), "--workers", str(setting.workers)]
    command += ["--threads", str(setting.threads), "--batch", str(setting.batch)]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": folder}
        ready = "/v2/health/ready" if name == "triton" else "/health"
        protocol: Protocol = "triton" if name == "triton" else "form"
        with _running(command, environment, f"http://127.0.0.1:{port}", ready=ready, protocol=protocol) as server:
            yield server


def why_peer_cannot_run(name: str) -> str | None:
    """What is missing for it here, or None."""
    if not (ENVIRONMENTS / name / ".installed").exists():
        return f"its environment is not set up: make build/bench-peers/{name}/.installed"
    if name == "triton" and any(
        entry.name.isdigit() and (entry / "comm").is_file() and _name(entry) == "tritonserver"
        for entry in Path("/proc").iterdir()
    ):
        return "another Triton runs on this machine"
    return None


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def free_port() -> int:
    """One that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], url: str, *, ready: str, protocol: Protocol = "laps"
) -> Iterator[Server]:
    """Run a command in a group of its own, wait until ``ready`` answers, and end the whole group."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            _await_ready(process, f"{url}{ready}", log.fileno())
            yield Server(url, process.pid, protocol)
        finally:
            _end(process)


def _await_ready(process: subprocess.Popen[bytes], url: str, log: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # nothing listens yet
        time.sleep(0.1)
    said = os.pread(log, 1 << 20, 0).decode(errors="replace")[-2000:]
    raise ServerFailed(f"{process.args!r} is not ready:\n{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then end what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_S)
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
