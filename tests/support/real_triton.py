"""A real Triton, which the package nvidia-pytriton carries, in an environment of its own (``make triton-env``).

Only the Python backend is inside: the twin of a model has the shipped config.pbtxt with backend and file name replaced,
and a model.py that runs the same model.onnx.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from laps_export.graph.tensor_contract import TensorContract
from laps_export.repository.triton_config import render_config
from laps_server.engines.triton.engine import TritonEngine
from laps_server.shared_memory import PREFIX
from support.model_repositories import LABELS, write_model

FRAMES, SIZE = 4, 32
BATCH_SIZES = (1, 2, 4)
CONCURRENCY = 8
ENVIRONMENT = Path(__file__).parents[2] / ".venv-triton"
REQUIRED = "LAPS_TESTS_NEED_TRITON"
SHARED_MEMORY = Path("/dev/shm")
_TWIN = Path(__file__).with_name("triton_twin.py")
_START_TIMEOUT_S = 60
_FACTS = """\
import sys, sysconfig
print(sys.base_prefix, sysconfig.get_config_var("LIBDIR"), sysconfig.get_path("purelib"), sep="\\n")
"""

StartedEngine = Callable[..., AbstractAsyncContextManager[TritonEngine]]
"""Starts an engine and closes it, as ``async with engine_of(url, ...) as engine``."""


def write_shipped_model(
    repository: Path, name: str = "colours", *, frames: int = FRAMES, size: int = SIZE, **options: Any
) -> Path:
    """A model with the config.pbtxt that the exporter writes for its shapes."""
    folder = write_model(repository, name, frames=frames, size=size, **options)
    contract = TensorContract(
        frames=frames,
        height=size,
        width=size,
        classes=len(options.get("labels", LABELS)),
        steps=frames,
        embedding=3 if options.get("embedding") else None,
    )
    (folder / "config.pbtxt").write_text(render_config(name, contract))
    return folder


def own_blocks() -> set[str]:
    """Names of the gateways' shared memory on this machine."""
    return {path.name for path in SHARED_MEMORY.glob(f"{PREFIX}*")}


def write_twin(model: Path, repository: Path) -> Path:
    """The twin of a gateway's model folder, in a repository for Triton; returns its version's folder.

    The backend and the file name are all that is replaced in config.pbtxt, and each is there once.
    """
    config = (model / "config.pbtxt").read_text()
    for shipped, twin in (("onnxruntime", "python"), ("model.onnx", "model.py")):
        assert config.count(f'"{shipped}"') == 1, f"{shipped} is not in {config}"
        config = config.replace(f'"{shipped}"', f'"{twin}"')
    folder = repository / model.name
    shutil.copytree(model, folder)
    (folder / "config.pbtxt").write_text(config)
    (version,) = (child for child in folder.iterdir() if child.is_dir())
    shutil.copy(_TWIN, version / "model.py")
    return version


@dataclass
class Triton:
    """A Triton on ports of its own, which stay its own when it is started again."""

    repository: Path
    log: Path
    grpc_port: int
    http_port: int
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def grpc_url(self) -> str:
        return f"grpc://127.0.0.1:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def url(self, scheme: str) -> str:
        return self.grpc_url if scheme == "grpc" else self.http_url

    def start(self, *, ready: bool = True) -> None:
        prefix, libraries, packages = _environment_facts()
        server = packages / "pytriton" / "tritonserver"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    server / "bin" / "tritonserver",
                    f"--model-repository={self.repository}",
                    f"--backend-directory={server / 'backends'}",
                    f"--backend-config=python,shm-region-prefix-name={self._prefix}",
                    f"--grpc-port={self.grpc_port}",
                    f"--http-port={self.http_port}",
                    "--grpc-address=127.0.0.1",
                    "--http-address=127.0.0.1",
                    "--allow-metrics=false",
                    "--exit-timeout-secs=1",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    # Its interpreter is isolated, and finds the environment by the first python on the path.
                    "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
                    "LD_LIBRARY_PATH": f"{libraries}:{packages / 'nvidia_pytriton.libs'}",
                    "PYTHONHOME": str(prefix),
                    "PYTHONPATH": str(packages),
                },
            )
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, f"Triton ended:\n{self.log.read_text()}"
            try:
                if httpx.get(f"{self.http_url}/v2/health/ready", timeout=1).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"Triton is not ready:\n{self.log.read_text()}")

    def stall(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """All of it at once, its Python processes too."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None
        for left in SHARED_MEMORY.glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)

    @property
    def _prefix(self) -> str:
        return f"laps-test-{os.getpid()}-{self.grpc_port}-"


@contextmanager
def running_triton(repository: Path, log: Path, *options: str, ready: bool = True) -> Iterator[Triton]:
    """Run Triton over a repository of twins; skips the test where it cannot, or fails it where it must.

    ``options`` are more of Triton's own; with ``ready`` it is awaited that all of its models are.
    """
    with _free_port() as grpc_port, _free_port() as http_port:
        triton = Triton(repository, log, grpc_port, http_port, options)
    try:
        triton.start(ready=ready)
        yield triton
    finally:
        triton.kill()


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def _environment_facts() -> tuple[Path, Path, Path]:
    """Prefix and library folder of the environment's interpreter, and its packages."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".installed").exists():
        reason = "Triton is not installed here; make triton-env"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([python, "-c", _FACTS], check=True, capture_output=True, text=True)
    prefix, libraries, packages = map(Path, done.stdout.split())
    return prefix, libraries, packages
