"""ONNX Runtime, which tells nobody of it: what imports it here imports it by this name.

Since 1.29 its builds for Linux count sessions, with names and hashes of models, keep the counts below ``~/.cache`` and
send them to their maker, unless an environment variable says otherwise when it is loaded.
"""

from __future__ import annotations

import os

os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
