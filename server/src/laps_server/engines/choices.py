"""What an operator can choose of the engines, as settings read it and adapters understand it.

Apart from the adapters, since settings must not import what they stand on.
"""

from __future__ import annotations

from typing import Literal

EngineName = Literal["ort", "triton"]
Device = Literal["cpu", "cuda"]
SharedMemoryMode = Literal["auto", "on", "off"]
