"""What the images and the compose file promise, asked of a running engine: ``make test-docker``."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.docker_commands import MODELS, PYTHON_IMAGE, Up, free_port, inspect, run, wait_until, wait_until_ready
from support.golden_videos import golden_video

_MB = 10**6
STOP_GRACE_S = 75  # docker-compose.yml's
_CPU_IMAGE_LIMIT_MB = 900  # besides the base; 180 of them are OpenVINO


@pytest.fixture(scope="session")
def video() -> Path:
    return golden_video("bikes")


def classify(url: str, video: Path, **query: str) -> httpx.Response:
    with video.open("rb") as file:
        return httpx.post(f"{url}/classify", params=query, files={"file": file}, timeout=120)


def size_mb(image: str) -> float:
    size = inspect("image", image)["Size"]
    assert isinstance(size, int)
    return size / _MB


def test_a_real_video_is_classified(project: Up, video: Path) -> None:
    answer = classify(project.url, video, model="camera-motion")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"]["name"] == "camera-motion"
    assert body["warnings"] == []
    assert len(body["frames"]["scores"]) == len(body["frames"]["time_s"]) > 1


def test_the_network_that_the_image_carries_answers_where_none_is_named(project: Up) -> None:
    answer = classify(project.url, golden_video("arm_wrestling"))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"]["name"] == "i3d-kinetics400"
    assert body["predictions"][0]["label"] == "arm wrestling"
    carried = project.inside("ls", "/opt/laps/models/i3d-kinetics400").stdout.split()
    assert {"NOTICE", "LICENSE"} <= set(carried)


def test_the_port_is_published_on_this_machine_alone(project: Up) -> None:
    state: Any = inspect("container", project.container)
    bindings = state["HostConfig"]["PortBindings"]["8000/tcp"]
    assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]


@pytest.mark.parametrize("profile", ["gpu", "observe"])
def test_each_profile_is_one_that_compose_takes(project: Up, profile: str) -> None:
    services = yaml.safe_load(project.command("--profile", profile, "config").stdout)["services"]
    # Compose 1 prints the services of other profiles too.
    assert set(services) >= {"server"} | {"gpu": {"triton"}, "observe": {"prometheus", "grafana"}}[profile]


def test_the_engine_calls_it_healthy(project: Up) -> None:
    def health() -> str:
        state: Any = inspect("container", project.container)
        status: str = state["State"]["Health"]["Status"]
        return status

    wait_until(lambda: health() == "healthy")


def test_it_runs_without_root_and_without_rights(project: Up) -> None:
    assert project.inside("id", "-u").stdout.strip() == "10001"
    status = dict(line.split(":\t", 1) for line in project.inside("cat", "/proc/1/status").stdout.splitlines())
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_nothing_can_be_written_but_the_sized_folder_of_uploads(project: Up) -> None:
    for path in ("/x", "/opt/laps/x", "/models/x", "/models/camera-motion/1/x", "/usr/local/x"):
        assert project.inside("touch", path, check=False).returncode != 0, path
    assert project.inside("touch", "/tmp/x").returncode == 0
    assert project.inside("rm", "/tmp/x").returncode == 0
    blocks, size = project.inside("stat", "--file-system", "--format", "%b %S", "/tmp").stdout.split()
    assert int(blocks) * int(size) == 2 * 2**30
    blocks, size = project.inside("stat", "--file-system", "--format", "%b %S", "/dev/shm").stdout.split()
    assert int(blocks) * int(size) == 2**30


def test_limits_are_set(project: Up) -> None:
    state: Any = inspect("container", project.container)
    limits = state["HostConfig"]
    assert limits["Memory"] == 6 * 2**30
    assert limits["PidsLimit"] == 512
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert limits["ReadonlyRootfs"] is True


def test_the_image_holds_no_compiler_no_torch_and_little_else(project: Up) -> None:
    tools = "gcc g++ cc c++ clang tcc ld as make cmake"
    found = project.inside("sh", "-c", f"for tool in {tools}; do command -v $tool; done; true").stdout
    assert found == ""
    code = "import importlib.util as u; print([n for n in ('torch', 'onnx', 'laps_export', 'pip') if u.find_spec(n)])"
    assert project.inside("/opt/laps/bin/python", "-c", code).stdout.strip() == "[]"
    besides_base = size_mb("laps-server:cpu-test") - size_mb(PYTHON_IMAGE)
    report(f"CPU image: {besides_base:.0f} MB besides its base of {size_mb(PYTHON_IMAGE):.0f} MB")
    assert besides_base <= _CPU_IMAGE_LIMIT_MB


def test_the_image_says_what_it_is(project: Up) -> None:
    config: Any = inspect("image", "laps-server:cpu-test")["Config"]
    version = project.inside("laps-server", "--version").stdout.strip()
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()}
    assert labels["version"] == version
    assert labels["licenses"] == "Apache-2.0"
    assert labels["title"] == "laps-server"
    assert "readyz" in (Path(__file__).parent / "ready.py").read_text()
    assert config["Healthcheck"]["Test"][-1] == "/opt/laps/ready.py"
    assert config["User"] == "10001:10001"


def test_a_stop_lets_the_request_in_flight_finish(project: Up, video: Path) -> None:
    """Half of an upload is there when the stop comes; the other half, and the answer, come after it."""
    content = video.read_bytes()
    half = len(content) // 2
    fields = f"Host: x\r\nContent-Length: {len(content)}\r\nConnection: close"
    head = f"POST /classify?model=camera-motion HTTP/1.1\r\n{fields}\r\n\r\n"
    port = int(project.env["PUBLISH_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + content[:half])
        time.sleep(0.5)
        # Compose may take longer to begin than an upload may pause; the engine is told what Compose would tell it.
        stopping = subprocess.Popen(["docker", "stop", "-t", str(STOP_GRACE_S), project.container])
        wait_until(lambda: httpx.get(f"{project.url}/readyz").status_code == 503)
        connection.sendall(content[half:])
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    began = time.monotonic()
    assert stopping.wait(STOP_GRACE_S) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["model"]["name"] == "camera-motion"
    state: Any = inspect("container", project.container)
    assert (state["State"]["ExitCode"], state["State"]["OOMKilled"]) == (0, False)
    report(f"stopped {time.monotonic() - began:.1f} s after the last answer")
    project.command("start")
    wait_until_ready(project.url)


def test_the_health_check_says_no_where_nothing_answers() -> None:
    command = [sys.executable, str(Path(__file__).parent / "ready.py")]
    done = subprocess.run(command, env={**os.environ, "LAPS_PORT": str(free_port())}, check=False)
    assert done.returncode == 1


def in_container(image: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    options = ["--rm", "--read-only", "--tmpfs", "/tmp", "--volume", f"{MODELS}:/models:ro", "--network", "none"]
    settings = [part for name, value in env.items() for part in ("--env", f"{name}={value}")]
    return run("docker", "run", *options, *settings, image, *arguments, check=False)


def test_the_gpu_image_has_the_cuda_build_alone(gpu_image: str) -> None:
    config: Any = inspect("image", gpu_image)["Config"]
    assert config["User"] == "10001:10001"
    code = (
        "import json, onnxruntime as o, importlib.metadata as m, importlib.util as u;"
        "names = [d.name for d in m.distributions() if d.name.startswith('onnxruntime')];"
        "print(json.dumps([o.get_available_providers(), names, u.find_spec('torch') is None]))"
    )
    options = ["--rm", "--entrypoint", "/opt/laps/bin/python"]
    providers, names, no_torch = json.loads(run("docker", "run", *options, gpu_image, "-c", code).stdout)
    assert "CUDAExecutionProvider" in providers
    assert names == ["onnxruntime-gpu"]
    assert no_torch
    report(f"GPU image: {size_mb(gpu_image) - size_mb(PYTHON_IMAGE):.0f} MB besides its CUDA base")


def test_the_gpu_image_refuses_to_run_on_a_cpu_unasked(gpu_image: str) -> None:
    done = in_container(gpu_image, "serve", LAPS_ALLOW_ANONYMOUS="true")
    assert done.returncode == 1
    assert re.search(r"device cuda: ONNX Runtime found no GPU", done.stderr), done.stderr


def test_the_gpu_image_runs_on_a_cpu_if_told_to(gpu_image: str, video: Path) -> None:
    options = ["--rm", "--read-only", "--tmpfs", "/tmp", "--volume", f"{MODELS}:/models:ro", "--network", "none"]
    options += ["--env", "LAPS_DEVICE=cpu", "--volume", f"{video}:/video.mp4:ro"]
    done = run("docker", "run", *options, gpu_image, "classify", "--json", "/video.mp4")
    (answer,) = json.loads(done.stdout)
    assert answer["model"]["name"] == "camera-motion"


def test_an_image_alone_answers_nobody_unasked(project: Up) -> None:  # noqa: ARG001 - which builds it
    done = in_container("laps-server:cpu-test", "serve")
    assert done.returncode == 2
    assert "--allow-anonymous" in done.stderr


def test_with_the_file_of_keys_nobody_is_answered_without_one(project: Up) -> None:
    env = {**project.env, "COMPOSE_PROJECT_NAME": f"{project.env['COMPOSE_PROJECT_NAME']}-keys"}
    env["PUBLISH_PORT"] = str(free_port())
    url = f"http://127.0.0.1:{env['PUBLISH_PORT']}"
    command = [*project.compose, "--file", "docker-compose.yml", "--file", "docker/keys.yml"]
    try:
        key = run(*command, "run", "--rm", "keys", "add", "lab", env=env).stdout.strip()
        run(*command, "up", "--detach", env=env)
        wait_until_ready(url)
        assert httpx.get(f"{url}/models").status_code == 401
        assert httpx.get(f"{url}/models", headers={"X-API-Key": key}).status_code == 200
        run(*command, "run", "--rm", "keys", "revoke", "lab", env=env)
        time.sleep(1)
        assert httpx.get(f"{url}/models", headers={"X-API-Key": key}).status_code == 401
    finally:
        run(*command, "down", "--volumes", "--timeout", "5", check=False, env=env)


def test_down_leaves_nothing(project: Up) -> None:
    """Last of all: nothing of the project stays."""
    project.command("down", "--volumes")
    name = project.env["COMPOSE_PROJECT_NAME"]
    for kind in ("container", "network", "volume"):
        everything = ["--all"] if kind == "container" else []
        listed = run("docker", kind, "ls", *everything, "--quiet", "--filter", f"name={name}").stdout
        assert listed == "", kind


def report(line: str) -> None:
    """Into the test's output, which ``make test-docker`` shows of passing tests too."""
    sys.stdout.write(line + "\n")
