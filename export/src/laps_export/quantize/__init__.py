"""A model's graph in int8: calibrated on views of the user's videos, and held to what it answers in float32."""

from __future__ import annotations

import sys

# NNCF and OpenVINO tell a host of Google's that they are used, by a package that they can do without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
