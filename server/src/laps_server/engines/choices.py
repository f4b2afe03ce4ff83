"""What an operator can choose of the engines, and the defaults of it: as settings read it and adapters understand it.

Apart from the registry, whose builders read the settings, so that the two do not import each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

EngineName = Literal["ort", "triton"]
# Most views in one batch where no setting says otherwise; docs/decisions/ has what was measured.
DEFAULT_BATCH_VIEWS: Mapping[EngineName, int] = MappingProxyType({"ort": 4, "triton": 16})
Device = Literal["cpu", "cuda"]
SharedMemoryMode = Literal["auto", "on", "off"]
