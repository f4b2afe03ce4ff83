"""A Ray cluster of simulated machines: each has its own daemons and cores on paper, and all share this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from bench.servers import ROOT
from ray._private.internal_api import get_memory_info_reply, get_state_from_address
from ray.cluster_utils import Cluster

from laps_server.scale.replica_directory import NAMESPACE
from laps_server.scale.settings import prepare_ray

STORE_BYTES = 128 * 2**20


@contextmanager
def simulated_cluster(nodes: int, cpus: int) -> Iterator[Cluster]:
    """A head that runs nothing but Ray itself, and so many machines; this process is its driver."""
    prepare_ray()
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "server" / "src")))  # of all that Ray starts
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=cpus, object_store_memory=STORE_BYTES)
        ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def stored_bytes(cluster: Cluster) -> int:
    """What was ever put into the object stores of its machines; small objects go another way, within messages."""
    state = get_state_from_address(cluster.address)  # type: ignore[no-untyped-call]
    return int(get_memory_info_reply(state).store_stats.cumulative_created_bytes)  # type: ignore[no-untyped-call]
