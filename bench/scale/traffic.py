"""Bytes a clip through the network and through Ray's object stores, between two simulated machines.

The loopback device carries the network, and counts. Whatever else uses it counts too, so this wants a network of its
own, which ``unshare --net`` gives; what goes over it at rest is taken off.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
from bench.scale.clusters import simulated_cluster, stored_bytes
from bench.scale.machinery import ONE_CLIP, ask, deploy, links, settings
from ray import serve as ray_serve
from ray.cluster_utils import Cluster

from laps_server.classify_options import ClassifyOptions
from laps_server.scale.batch import ActorPool, checked_options, classify_into
from laps_server.scale.row_files import RowFiles

IDLE_S = 20.0
REQUESTS = 100
VIDEOS, BLOCK, FIRST, LAST = 640, 16, 128, 512
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Traffic:
    """Of one clip: bytes over the network as the kernel counts them, headers too, and into object stores.

    ``client`` is what of it goes between client and proxy: video and answer. ``destination`` is what is written.
    ``driver_s`` are processor seconds of the one process that hands out blocks, of each block.
    """

    road: str
    network: float
    store: float
    idle_per_s: float
    client: float = 0.0
    destination: float = 0.0
    driver_s: float = 0.0


def measured(video: Path, long_video: Path, folder: Path) -> list[Traffic]:
    """Both roads, on one head and one machine; online also a longer video, which Ray may hand on in another way."""
    with simulated_cluster(1, 1) as cluster:
        with httpx.Client(base_url=deploy(1), timeout=_TIMEOUT_S) as client:
            found = [_online(cluster, client, path.read_bytes()) for path in (video, long_video)]
        ray_serve.shutdown()  # type: ignore[no-untyped-call]
        return [*found, _offline(cluster, video, folder)]


def _online(cluster: Cluster, client: httpx.Client, video: bytes) -> Traffic:
    """The proxy is on the head, the replica on the machine: an upload goes over the network twice."""
    answer = ask(client, video)
    idle = _idle_per_s()
    count = _counter(cluster)
    for _ in range(REQUESTS):
        ask(client, video)
    network, store, seconds = count()
    return Traffic(
        f"ray-serve, {len(video)} bytes",
        (network - idle * seconds) / REQUESTS,
        store / REQUESTS,
        idle,
        client=float(len(video) + answer),
    )


def _offline(cluster: Cluster, video: Path, folder: Path) -> Traffic:
    idle = _idle_per_s()
    names = links(video, folder / "videos", VIDEOS)
    rows = folder / "rows"
    options = checked_options(settings(), ClassifyOptions(frames=False, views=ONE_CLIP))
    job = classify_into(
        RowFiles(str(rows)),
        names,
        settings=settings(),
        options=options,
        actors=ActorPool(least=1, most=1),
        block_videos=BLOCK,
    )
    count, first, spent = _counter(cluster), 0, 0.0
    with closing(job):
        for progress in job:
            if not first and progress.done >= FIRST:
                count, first, spent = _counter(cluster), progress.done, time.process_time()
            if progress.done >= LAST:
                spent = time.process_time() - spent
                network, store, seconds = count()
                break
    videos = progress.done - first
    written = sum(path.stat().st_size for path in rows.glob("part-*")) / progress.done
    return Traffic(
        "batch",
        (network - idle * seconds) / videos,
        store / videos,
        idle,
        destination=written,
        driver_s=spent / videos * BLOCK,
    )


def _counter(cluster: Cluster) -> Callable[[], tuple[int, int, float]]:
    """What tells how many bytes went over the network and into stores since now, and the seconds."""
    network, store, began = loopback_bytes(), stored_bytes(cluster), time.monotonic()
    return lambda: (loopback_bytes() - network, stored_bytes(cluster) - store, time.monotonic() - began)


def _idle_per_s() -> float:
    time.sleep(IDLE_S / 2)
    before, began = loopback_bytes(), time.monotonic()
    time.sleep(IDLE_S)
    return (loopback_bytes() - before) / (time.monotonic() - began)


def loopback_bytes(table: Path = Path("/proc/self/net/dev")) -> int:
    """Received over the loopback device so far, in this process's network."""
    found = re.search(r"^\s*lo:\s*(\d+)", table.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
