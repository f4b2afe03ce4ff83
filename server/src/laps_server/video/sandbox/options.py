"""How workers are confined."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

DecodeMode = Literal["sandbox", "thread"]
FilterMode = Literal["auto", "required", "off"]

IS_AVAILABLE: Final = sys.platform == "linux"
"""Whether the system has what a sandbox is made of: memory by descriptor, seals, descriptors of processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """How workers are confined, and how long they live.

    Attributes:
        filter: whether system calls are filtered; ``auto`` where the kernel can.
        memory_mib: address space a worker may take beyond what it begins with.
        stall_s: seconds without a step forward after which a worker is killed.
        jobs: videos after which a worker is replaced.
        log_level: of what workers log.
        environment: of their processes, None for this process's own.
        extract: ``module:function`` that decodes.
    """

    filter: FilterMode = "auto"
    memory_mib: int = 3072
    stall_s: float = 30.0
    jobs: int = 200
    log_level: str = "warning"
    environment: Mapping[str, str] | None = None
    extract: str = "laps_server.video.extract:extract_parts"
