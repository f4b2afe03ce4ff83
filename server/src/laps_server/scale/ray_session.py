"""Ray, for as long as a command or a job needs it: a cluster that is there, or one of this machine alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from laps_server.errors import BadParameter
from laps_server.scale.settings import RaySettings, prepare_ray
from laps_server.settings import available_cores


@contextmanager
def ray_session(settings: RaySettings) -> Iterator[None]:
    """Connect to a cluster, or start Ray here and end it; a connection that this process has already is left alone.

    What actors write stays in Ray's own logs: a row tells what is wrong with a video, and an error of ours what ended
    the job.

    Raises:
        BadParameter: the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    # Ray tells people how it is; what goes wrong in a job is told as an error of ours.
    logging.getLogger("ray").setLevel(logging.ERROR)
    silent = {"logging_level": logging.ERROR, "log_to_driver": False}
    if settings.address is None:
        start(settings, num_cpus=available_cores(), **silent)
    else:
        connect(settings.address, **silent)
    try:
        yield
    finally:
        ray.shutdown()


def start(settings: RaySettings, **options: Any) -> None:
    """Start a Ray of this machine alone, which ends with this process; ``options`` are more of ``ray.init``'s."""
    prepare_ray()
    ray.init(
        address="local",
        object_store_memory=settings.object_store_mib * 2**20,
        include_dashboard=False,
        **options,
    )


def connect(address: str, **options: Any) -> None:
    """Connect to the cluster at ``address``.

    Raises:
        BadParameter: it cannot be reached.
    """
    prepare_ray()
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, RayError) as exc:
        raise BadParameter(
            f"no Ray cluster can be reached at {address}: {exc}",
            hint="start one with ray start --head, or name none; where one has a token, set RAY_AUTH_MODE=token here",
        ) from exc
