"""A machine of a cluster is lost under load: no request of a client that tries again, and no row of a batch job."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from ray.cluster_utils import Cluster

from laps_client import LapsClient, RetryPolicy
from laps_server.classify_options import ClassifyOptions
from laps_server.scale.batch import ActorPool, checked_options, classify_into
from laps_server.scale.row_files import RowFiles
from laps_server.settings import Settings
from support.ray_clusters import lose, machine_of, simulated_cluster
from support.ray_gateways import deploy, free_port

ROOT = Path(__file__).parents[3]
VIDEO = ROOT / "examples" / "pan-then-zoom.mp4"
REPOSITORY = ROOT / "model_repository"
PATIENCE_S = 180
pytestmark = [
    pytest.mark.long,
    # Ray's own: what it starts keeps files open that nobody closes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Likewise: what Ray Data sets of itself.
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),
]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with simulated_cluster(3) as cluster:
        yield cluster


def served(cluster: Cluster) -> str:
    """Two replicas on three machines; their address, which the proxies of all machines share here."""
    port = free_port()
    two = {"LAPS_RAY_MIN_REPLICAS": "2", "LAPS_RAY_MAX_REPLICAS": "2", "LAPS_THREADS": "1"}
    deploy(cluster.address, port, REPOSITORY, env={**os.environ, **two})
    return f"http://127.0.0.1:{port}"


def wait_for_replicas(url: str, number: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            (found,) = httpx.get(f"{url}/replicas", timeout=60).raise_for_status().json()
            if len(found["targets"]) == number:
                return
        except httpx.HTTPError:
            pass  # the proxy was on the machine that went
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_no_request_of_a_client_that_tries_again(cluster: Cluster) -> None:
    url = served(cluster)
    wait_for_replicas(url, 2)
    gone = threading.Event()

    def ask(number: int) -> str:
        with LapsClient(url, retries=RetryPolicy(attempts=8)) as client:
            if number == 8:
                lose(cluster, machine_of(cluster, "ray::ServeReplica"))
                gone.set()
            return client.classify(VIDEO, model="camera-motion", views="15x1").top.label

    with ThreadPoolExecutor(6) as pool:
        answers = Counter(pool.map(ask, range(32)))
    assert gone.is_set()
    assert answers == {"zoom in": 32}
    wait_for_replicas(url, 2)


def test_no_row_of_a_batch_job(cluster: Cluster, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(40):
        (clips / f"{number:02}.mp4").symlink_to(VIDEO)
    videos = sorted(map(str, clips.iterdir()))
    settings = Settings(model_repository=REPOSITORY, default_model="camera-motion", threads=1)
    options = checked_options(settings, ClassifyOptions(frames=False))
    files = RowFiles(str(tmp_path / "rows"))
    two = ActorPool(least=2, most=2)
    last = None
    gone = False
    for last in classify_into(files, videos, settings=settings, options=options, actors=two, block_videos=1):
        if last.done >= 6 and not gone:
            lose(cluster, machine_of(cluster, "ray::MapWorker"))
            gone = True
    assert gone
    assert last is not None
    assert (last.done, last.failed, last.left) == (40, 0, 0)
    assert sorted(row["path"] for row in files.rows()) == videos
