"""Whether eight do eight times as much: replicas behind Ray's proxy, and actors of a batch job.

The engine sleeps a second a clip, so what is measured is everything else: routing, queues, blocks, files, rows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
from bench.scale.rates import Rate, Scaling, steady_rate
from bench.scale.stand_in import stand_ins
from bench.servers import ROOT, family_cpu_s, free_port
from bench.subjects import CAMERA_MOTION
from ray import serve as ray_serve
from ray.serve.config import HTTPOptions, ProxyLocation

from laps_server.classify_options import ClassifyOptions
from laps_server.scale.batch import ActorPool, checked_options, classify_into
from laps_server.scale.row_files import RowFiles
from laps_server.scale.serve import APP_NAME, build
from laps_server.scale.settings import RaySettings
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid

CLIENTS = 3  # of a replica: one is classified, and the next ones wait
SKIPPED, COUNTED = 8, 24  # answers of one worker: until all work evenly, and those that are timed
ONE_CLIP = ViewGrid(1, 1)
_TIMEOUT_S = 120.0


def settings() -> Settings:
    """Of each replica and actor: one thread, one decoder, one clip at a time."""
    return Settings(
        model_repository=ROOT / "model_repository", default_model=CAMERA_MOTION, threads=1, decode_workers=1
    )


def online(most: int, video: bytes, say: Callable[[str], None]) -> Scaling:
    """Replicas, one and many."""
    return Scaling("ray-serve", *(_said(_online_rate(number, video), "replicas", say) for number in (1, most)))


def offline(most: int, video: Path, folder: Path, say: Callable[[str], None]) -> Scaling:
    """Batch actors, one and many."""
    return Scaling("batch", *(_said(_offline_rate(number, video, folder), "actors", say) for number in (1, most)))


def deploy(replicas: int, *, cpus: float = 1.0) -> str:
    """Deploy on the cluster that this process drives, behind one proxy; its address."""
    port = free_port()
    ray_serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host="127.0.0.1", port=port))
    ray_settings = RaySettings(min_replicas=replicas, max_replicas=replicas, replica_cpus=cpus)
    ray_serve.run(build(settings(), ray_settings), name=APP_NAME, route_prefix="/")
    return f"http://127.0.0.1:{port}"


def ask(client: httpx.Client, video: bytes) -> int:
    """One clip of a video; the bytes of its answer."""
    answer = client.post("/classify", params={"views": str(ONE_CLIP), "frames": "false"}, content=video)
    return len(answer.raise_for_status().content)


def _online_rate(replicas: int, video: bytes) -> Rate:
    with stand_ins():
        url = deploy(replicas)
    moments: list[float] = []
    over = threading.Event()
    wanted = replicas * (SKIPPED + COUNTED)

    def ask_until_over(_: int) -> None:
        with httpx.Client(base_url=url, timeout=_TIMEOUT_S) as client:
            while not over.is_set():
                ask(client, video)
                moments.append(time.monotonic())

    with ThreadPoolExecutor(CLIENTS * replicas) as pool:
        asking = [pool.submit(ask_until_over, number) for number in range(CLIENTS * replicas)]
        try:
            cores = _cores_between(moments, replicas * SKIPPED, wanted)
        finally:
            over.set()
        for one in asking:
            one.result()
    ray_serve.shutdown()  # type: ignore[no-untyped-call]
    counted = moments[replicas * SKIPPED : wanted]
    return Rate(replicas, steady_rate(counted, replicas), len(counted), cores)


def _cores_between(moments: list[float], first: int, last: int) -> float:
    """Cores that all processes keep busy from one answer to another; waits for the second."""
    while len(moments) < first:
        time.sleep(0.02)
    began, spent = time.monotonic(), family_cpu_s(os.getpid())
    while len(moments) < last:
        time.sleep(0.02)
    return (family_cpu_s(os.getpid()) - spent) / (time.monotonic() - began)


def _offline_rate(actors: int, video: Path, folder: Path) -> Rate:
    first, last = actors * SKIPPED, actors * (SKIPPED + COUNTED)
    names = links(video, folder / f"videos-{actors}", 2 * last)  # more than is waited for: the end is no steady state
    options = checked_options(settings(), ClassifyOptions(frames=False, views=ONE_CLIP))
    moments: list[float] = []
    began = spent = 0.0
    cores = 0.0
    with (
        stand_ins(),
        closing(
            classify_into(
                RowFiles(str(folder / f"rows-{actors}")),
                names,
                settings=settings(),
                options=options,
                actors=ActorPool(least=actors, most=actors),
                block_videos=1,
            )
        ) as job,
    ):
        for progress in job:
            now = time.monotonic()
            before = len(moments)
            moments += [now] * (progress.done - before)
            if before < first <= len(moments):
                began, spent = now, family_cpu_s(os.getpid())
            if len(moments) >= last:
                cores = (family_cpu_s(os.getpid()) - spent) / (now - began)
                break
    counted = moments[first:last]
    return Rate(actors, steady_rate(counted, actors), len(counted), cores)


def links(video: Path, folder: Path, number: int) -> list[str]:
    """One video under many names."""
    folder.mkdir()
    names = [folder / f"{one:05}.mp4" for one in range(number)]
    for name in names:
        name.symlink_to(video)
    return [str(name) for name in names]


def _said(rate: Rate, what: str, say: Callable[[str], None]) -> Rate:
    say(
        f"{rate.workers} {what}: {rate.per_s:.3f} a second over {rate.answers} answers, "
        f"{rate.cores:.2f} cores busy with all of it"
    )
    return rate
