"""Ray, for as long as a batch job needs it: a cluster that is there, or one of this machine alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from laps_server.errors import BadParameter
from laps_server.scale.settings import RaySettings, prepare_ray
from laps_server.settings import available_cores


@contextmanager
def ray_session(settings: RaySettings) -> Iterator[None]:
    """Connect to a cluster, or start Ray here and end it; a connection that this process has already is left alone.

    Raises:
        BadParameter: the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    prepare_ray()
    # Ray tells people how it is; what goes wrong in a job is told as an error of ours.
    logging.getLogger("ray").setLevel(logging.ERROR)
    if settings.address is None:
        ray.init(
            address="local",
            num_cpus=available_cores(),
            object_store_memory=settings.object_store_mib * 2**20,
            include_dashboard=False,
            logging_level=logging.ERROR,
        )
    else:
        try:
            ray.init(address=settings.address, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as exc:
            raise BadParameter(
                f"no Ray cluster can be reached at {settings.address}: {exc}",
                hint="start one with ray start --head, or leave --ray-address out",
            ) from exc
    try:
        yield
    finally:
        ray.shutdown()
