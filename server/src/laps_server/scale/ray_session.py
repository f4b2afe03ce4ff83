"""Ray, for as long as a command needs it: a cluster that is there, or one in processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from laps_server.scale.settings import prepare_ray
from laps_server.settings import available_cores

OBJECT_STORE_BYTES = 128 * 2**20
"""Of an embedded Ray: names of videos go in, and how it went comes out; no pixel does."""


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """Connect to the cluster at ``address``, or start Ray here; what was started or connected to already stays.

    Raises:
        ConnectionError: nothing answers at that address.
    """
    if ray.is_initialized():
        yield
        return
    prepare_ray()
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address is None:
        ray.init(
            num_cpus=available_cores(),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            logging_level=logging.ERROR,
        )
    else:
        ray.init(address=address, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
