"""NNCF's own packages warn of each other; what they do is tested here, and not how they are built."""

from __future__ import annotations

import pytest

pytest.importorskip("nncf", reason="laps-export[quantize] is not installed")
