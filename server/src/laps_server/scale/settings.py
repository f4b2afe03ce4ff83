"""Settings of what runs on Ray, beside those of the server; no Ray here.

Each is read from ``LAPS_RAY_<NAME>``. They say where pipelines run and how many, and never what one of them does: that
is :class:`laps_server.settings.Settings`, the same as without Ray.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "LAPS_RAY_"
_UNLESS_GIVEN = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_task_events_report_interval_ms": "0",
}


def variable(name: str) -> str:
    """The variable of the environment that a setting is read from."""
    return f"{_PREFIX}{name.upper()}"


def prepare_ray() -> None:
    """Of a Ray that this process starts, what Ray reads from the environment alone.

    It reports its use to nobody. A busy machine gets the time to start a proxy: Ray would kill one that takes longer
    than three times five seconds, and begin again. And Ray itself does less: its controller looks twice a second, not
    ten times, nothing is kept of each task for a dashboard that is not there, and a replica has one event loop, ours,
    without a hop between threads for each message.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    set_unless_given(_UNLESS_GIVEN)


def set_unless_given(variables: Mapping[str, str]) -> None:
    """Of what Ray reads from the environment alone, where this process and those that it starts have it from nobody."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def replica_environment() -> Mapping[str, str]:
    """What replicas need of this environment beside settings: where OpenTelemetry's SDK sends traces, and how many."""
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}


class RaySettings(BaseSettings):
    """Everything that an operator can choose of Ray, validated at start."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    address: str | None = Field(
        None,
        description="Ray cluster to run in, as 10.0.0.1:6379, or auto for the one that this machine belongs to; if not "
        "set, one of this machine alone is started, and ends with the command.",
    )
    object_store_mib: int = Field(
        512,
        ge=80,
        description="Shared memory of a cluster that is started here, in MiB, for what goes between processes.",
    )
    model_url: str | None = Field(
        None,
        description="Model repository that each machine fetches once, in place of `LAPS_MODEL_REPOSITORY`: an address "
        "that fsspec opens, as s3://bucket/models or gs://bucket/models. What is fetched is kept in `LAPS_CACHE_DIR`.",
    )
    replica_cpus: float = Field(
        1.0, gt=0, le=1024, description="Cores of one replica; `LAPS_THREADS` is as many, if not set."
    )
    replica_gpus: float = Field(0.0, ge=0, le=64, description="GPUs of one replica.")
    min_replicas: int = Field(1, ge=1, le=10_000, description="Fewest replicas.")
    max_replicas: int = Field(8, ge=1, le=10_000, description="Most replicas; as many as the fewest makes them fixed.")
    target_requests: float = Field(
        4.0, gt=0, le=10_000, description="Requests in flight at each replica that their number is adapted to."
    )
    replica_port: int = Field(
        8100,
        ge=1024,
        le=65_000,
        description="Each replica also listens by itself, on the first free TCP port from this one on: for large "
        "uploads, and for Prometheus.",
    )
    max_upload_bytes: int = Field(
        64 * 2**20,
        ge=1,
        description="Largest upload through Ray's proxy, in bytes, since Ray keeps uploads in memory. Larger "
        "ones, up to `LAPS_MAX_UPLOAD_BYTES`, go to a replica's own port.",
    )

    @model_validator(mode="after")
    def _most_is_not_fewer(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is less than min_replicas {self.min_replicas}")
        return self
