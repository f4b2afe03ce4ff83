"""Docker and Compose as commands, for `make test-docker`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PYTHON_IMAGE = os.environ.get("PYTHON_IMAGE", "python:3.11-slim-bookworm")
MODELS = Path(os.environ.get("MODEL_REPOSITORY", ROOT / "model_repository")).resolve()
_TIMEOUT_S = 120


def run(
    *command: str, timeout_s: float = 120, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, its output as text; a failure shows what it said."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0 or not check, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; a connection that is refused or cut is a no."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not so after {_TIMEOUT_S} s")


def wait_until_ready(url: str) -> None:
    """Wait until ``/readyz`` answers 200."""
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@dataclass(frozen=True)
class Up:
    """The compose project while it is up."""

    url: str
    container: str
    compose: Sequence[str]
    env: dict[str, str]

    def command(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """One Compose command on this project."""
        return run(*self.compose, *arguments, timeout_s=timeout_s, env=self.env)

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command in the running container."""
        return run("docker", "exec", self.container, *command, check=check)


def inspect(kind: str, name: str) -> dict[str, object]:
    """What ``docker inspect`` says of one image or container."""
    (found,) = json.loads(run("docker", kind, "inspect", name).stdout)
    assert isinstance(found, dict)
    return found
