"""Replicas and a batch in a Ray that somebody else started: one start for all of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml
from pyarrow import parquet
from ray.serve.schema import ServeDeploySchema

from support.ray_gateways import addresses_at, deploy, free_port, gateway_environment, started_cluster

ROOT = Path(__file__).parents[3]
VIDEO = ROOT / "examples" / "pan-then-zoom.mp4"
REPOSITORY = ROOT / "model_repository"
QUERY = {"model": "camera-motion", "frames": "false"}
SERVE_TOOL = [sys.executable, "-m", "ray.serve.scripts"]
# Ray itself adds a replica after half a minute of too many requests, and takes one away after ten minutes of too few.
IMPATIENT = """
import functools
from laps_server.cli import main
from laps_server.scale import serve
serve.AutoscalingConfig = functools.partial(serve.AutoscalingConfig, upscale_delay_s=1, downscale_delay_s=3)
main()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with started_cluster(2) as address:
        yield address


@pytest.fixture(scope="module")
def port() -> int:
    """Of the proxies, which stay as long as the cluster."""
    return free_port()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of keys, and the key in it."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    command = [sys.executable, "-m", "laps_server", "keys", "add", "lab", "--file", str(file)]
    return file, subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def gateway(cluster: str, port: int, keys: tuple[Path, str]) -> str:
    """One replica that wants a key."""
    deploy(cluster, port, REPOSITORY, env={**gateway_environment(1), "LAPS_KEYS_FILE": str(keys[0])})
    return f"http://127.0.0.1:{port}"


def classify(url: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/classify", params=QUERY, content=VIDEO.read_bytes(), headers=headers, timeout=120)


def wait_for_another(url: str, process: str, **headers: str) -> None:
    """Until every answer is another replica's."""
    deadline = time.monotonic() + 120
    while process_of(url, **headers) == process:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def process_of(url: str, **headers: str) -> str:
    """When the process began that answers on its own port."""
    (address,) = addresses_at(url, 1, **headers)
    text = httpx.get(f"http://{address}/metrics", headers=headers, timeout=60).raise_for_status().text
    return next(line for line in text.splitlines() if line.startswith("process_start_time_seconds"))


def test_a_batch_fetches_its_models_and_asks_nobody_for_a_folder(cluster: str, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "camera-motion", tmp_path / "bucket" / "camera-motion")
    env = gateway_environment(1) | {
        "LAPS_RAY_MODEL_URL": f"file://{tmp_path}/bucket",
        "LAPS_CACHE_DIR": str(tmp_path / "cache"),
        "LAPS_MODEL_REPOSITORY": str(tmp_path / "nothing"),
    }
    rows = tmp_path / "rows"
    command = ["batch", str(VIDEO), str(rows), "--ray-address", cluster, "--cpus-per-actor", "0.5", "--actors", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "laps_server", *command],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 videos in 1 rows, 0 failed" in done.stdout
    (row,) = parquet.read_table(rows).to_pylist()
    assert (row["model"], row["predictions"][0]["label"]) == ("camera-motion", "zoom in")
    assert len([path for path in (tmp_path / "cache" / "repositories").iterdir() if path.is_dir()]) == 1


def test_who_has_no_key_is_refused_by_the_proxy_and_by_the_replica(gateway: str, keys: tuple[Path, str]) -> None:
    key = {"authorization": f"Bearer {keys[1]}"}
    (address,) = addresses_at(gateway, 1, **key)
    for url in (gateway, f"http://{address}"):
        assert classify(url).status_code == 401
        assert classify(url, authorization="Bearer wrong").status_code == 401
        assert classify(url, **key).json()["predictions"][0]["label"] == "zoom in"
        assert httpx.get(f"{url}/replicas", timeout=60).status_code == 401
    assert httpx.get(f"http://{address}/metrics", timeout=60).status_code == 401


@pytest.mark.long
def test_the_same_command_puts_a_new_replica_in_the_place_of_the_old_one(
    gateway: str, cluster: str, port: int, keys: tuple[Path, str]
) -> None:
    key = {"authorization": f"Bearer {keys[1]}"}
    before = process_of(gateway, **key)
    deploy(cluster, port, REPOSITORY, env={**gateway_environment(1), "LAPS_KEYS_FILE": str(keys[0])})
    wait_for_another(gateway, before, **key)
    assert classify(gateway, **key).status_code == 200


@pytest.mark.long
def test_rays_own_tool_serves_the_app_with_settings_from_the_environment(
    gateway: str, cluster: str, keys: tuple[Path, str]
) -> None:
    key = {"authorization": f"Bearer {keys[1]}"}
    before = process_of(gateway, **key)
    env = gateway_environment(1) | {"LAPS_MODEL_REPOSITORY": str(REPOSITORY), "LAPS_KEYS_FILE": str(keys[0])}
    # The app of that name is replaced.
    command = [
        *SERVE_TOOL,
        "run",
        "--non-blocking",
        "--address",
        cluster,
        "--name",
        "laps",
        "laps_server.scale.serve:app",
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    wait_for_another(gateway, before, **key)
    assert classify(gateway).status_code == 401
    assert classify(gateway, **key).json()["predictions"][0]["label"] == "zoom in"


@pytest.mark.long
def test_replicas_come_with_requests_and_go_without(gateway: str, cluster: str, port: int) -> None:
    """Last: it needs no key."""
    env = gateway_environment(1) | {"LAPS_RAY_MAX_REPLICAS": "2", "LAPS_RAY_TARGET_REQUESTS": "1"}
    deploy(cluster, port, REPOSITORY, env=env, command=[sys.executable, "-c", IMPATIENT, "ray-serve"])
    addresses_at(gateway, 1)
    over = threading.Event()

    def ask_until_over(_: int) -> set[int]:
        answers = set()
        while not over.is_set():
            answers.add(classify(gateway).status_code)
        return answers

    with ThreadPoolExecutor(6) as pool:
        asking = pool.map(ask_until_over, range(6))
        try:
            addresses_at(gateway, 2)
        finally:
            over.set()
        assert set().union(*asking) == {200}
    addresses_at(gateway, 1)


def test_what_rays_tool_builds_is_what_rays_tool_deploys(tmp_path: Path) -> None:
    built = tmp_path / "serve.yaml"
    env = {**os.environ, "LAPS_RAY_MAX_REPLICAS": "3", "LAPS_MAX_REQUESTS": "20"}
    command = [*SERVE_TOOL, "build", "laps_server.scale.serve:app", "--output-path", str(built)]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
    config = ServeDeploySchema.model_validate(yaml.safe_load(built.read_text()))
    (application,) = config.applications
    assert application.import_path == "laps_server.scale.serve:app"
    (gateway,) = application.deployments
    assert gateway.max_queued_requests == 20
    assert json.loads(json.dumps(gateway.autoscaling_config))["max_replicas"] == 3
