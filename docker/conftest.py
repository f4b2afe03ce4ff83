"""An engine that answers, both images, and the compose file brought up: once for all tests."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

import pytest

from support.docker_commands import MODELS, PYTHON_IMAGE, Up, free_port, run, wait_until_ready

_BUILD_TIMEOUT_S = 1800


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """These tests are asked for by name: without an engine they fail, they do not skip."""
    run("docker", "info")
    assert (MODELS / "camera-motion").is_dir(), f"{MODELS} holds no camera-motion"


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """Compose 2 where it is, else Compose 1."""
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "neither docker compose nor docker-compose is here"
    return ["docker-compose"]


@pytest.fixture(scope="session")
def gpu_image() -> str:
    """The GPU target with PYTHON_IMAGE in the place of the CUDA image, which is several gigabytes."""
    image = "laps-server:gpu-test"
    command = ["docker", "build", "--target", "gpu", "--tag", image, "--build-arg", f"CUDA_IMAGE={PYTHON_IMAGE}"]
    for name in ("PYTHON_IMAGE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"):
        if name in os.environ:
            command += ["--build-arg", name]
    run(*command, ".", timeout_s=_BUILD_TIMEOUT_S)
    return image


@pytest.fixture(scope="session")
def project(compose: list[str]) -> Iterator[Up]:
    """``docker compose up --build`` under a name and a port of its own."""
    port = free_port()
    env = {
        "COMPOSE_PROJECT_NAME": f"laps-test-{uuid.uuid4().hex[:8]}",
        "LAPS_IMAGE": "laps-server:cpu-test",
        "PUBLISH_PORT": str(port),
        "MODEL_REPOSITORY": str(MODELS),
    }
    try:
        run(*compose, "up", "--build", "--detach", timeout_s=_BUILD_TIMEOUT_S, env=env)
        container = run(*compose, "ps", "--quiet", "server", env=env).stdout.strip()
        up = Up(url=f"http://127.0.0.1:{port}", container=container, compose=compose, env=env)
        wait_until_ready(up.url)
        yield up
    finally:
        run(*compose, "down", "--volumes", "--timeout", "5", check=False, env=env)
