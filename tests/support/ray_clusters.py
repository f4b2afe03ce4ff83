"""A Ray cluster of simulated machines, each with daemons of its own, to lose one of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray._private.node import Node
from ray.cluster_utils import Cluster

from laps_server.scale.replica_directory import NAMESPACE
from laps_server.scale.settings import prepare_ray
from support.server_traces import children_of, title_of

STORE_BYTES = 100 * 2**20


@contextmanager
def simulated_cluster(machines: int) -> Iterator[Cluster]:
    """A head that runs nothing but Ray, and machines of one core each; this process is its driver."""
    prepare_ray()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        for _ in range(machines):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def machine_of(cluster: Cluster, title: str) -> Node:
    """A machine, not the head, that runs a process with such a title."""
    found: Node = next(node for node in cluster.worker_nodes if _runs(node, title))
    return found


def lose(cluster: Cluster, node: Node) -> None:
    """A machine goes, without a word."""
    cluster.remove_node(node, allow_graceful=False)


def _runs(node: Node, title: str) -> bool:
    (raylet,) = node.all_processes["raylet"]
    return any(title_of(process).startswith(title) for process in children_of(raylet.process.pid))
