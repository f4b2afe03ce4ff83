"""Real servers on a free port, for tests that go through HTTP: a process, or a thread around an app of the test's."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from laps_server.api.early_refusal import FrontProtocol

_LISTENING = re.compile(r"listening on (http://[0-9.]+:[0-9]+)")
_START_TIMEOUT_S = 120


@dataclass
class ServerProcess:
    """A running ``laps-server serve``; ``log`` grows as it writes."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    url: str = ""

    @classmethod
    def attached(cls, process: subprocess.Popen[str], timeout_s: float = _START_TIMEOUT_S) -> ServerProcess:
        """Follow the log of a process whose standard error is a pipe, until it says where it listens."""
        server = cls(process)

        def collect() -> None:
            assert process.stderr is not None
            with process.stderr:
                server.log.extend(iter(process.stderr.readline, ""))

        threading.Thread(target=collect, daemon=True).start()
        server.url = server.wait_for(_LISTENING, timeout_s)[1]
        return server

    def wait_for(self, pattern: re.Pattern[str], timeout_s: float = _START_TIMEOUT_S) -> re.Match[str]:
        """Wait until a log line matches; fails with the log where the process ends first."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        while time.monotonic() < deadline:
            while seen < len(self.log):
                if match := pattern.search(self.log[seen]):
                    return match
                seen += 1
            if self.process.poll() is not None and seen == len(self.log):
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern.pattern!r} in the server's log:\n{''.join(self.log)}")

    def wait_ready(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until ``/readyz`` answers 200."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if httpx.get(f"{self.url}/readyz").status_code == 200:
                return
            time.sleep(0.05)
        raise AssertionError(f"not ready:\n{''.join(self.log)}")

    def stop(self, sig: signal.Signals = signal.SIGTERM, timeout_s: float = 60) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(sig)
        return self.process.wait(timeout_s)


@contextmanager
def running_server(
    repository: Path, *, ready: bool = True, env: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run the server over ``repository``; ``env`` adds LAPS_ settings."""
    process = subprocess.Popen(
        [sys.executable, "-m", "laps_server", "serve", "--port", "0", "--model-repository", str(repository)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        server = ServerProcess.attached(process)
        if ready:
            server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def served(app: FastAPI, *, send_buffer: int | None = None) -> Iterator[str]:
    """Serve ``app`` from a thread of this process, so that a test can look inside; yields its address.

    ``send_buffer`` bounds the bytes that the system takes of an answer that nobody reads.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if send_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        config = uvicorn.Config(app, http=FrontProtocol, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            _wait_ready(url)
            yield url
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server does not stop"


def _wait_ready(url: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} is not ready")
