"""What a batch saves: time a view at each batch size, as a ratio to batch 1, in one interleaved run.

Run on any exported model::

    python bench/batch_sizes.py model_repository/laps-k400/1/model.onnx

On CPUs a batch saves little and holds the engine longer, which is what the default of ``LAPS_MAX_BATCH_VIEWS`` weighs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

BATCH_SIZES = (1, 2, 4, 8)


def main() -> None:
    """Print one row a batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()

    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = ort.InferenceSession(str(arguments.graph), sess_options=options, providers=["CPUExecutionProvider"])
    (clips,) = session.get_inputs()
    rng = np.random.default_rng(0)
    batches = {size: rng.integers(0, 256, (size, *clips.shape[1:]), dtype=np.uint8) for size in BATCH_SIZES}
    seconds: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    for counted in [False] + [True] * arguments.rounds:
        for size, batch in batches.items():
            began = time.perf_counter()
            session.run(None, {clips.name: batch})
            if counted:
                seconds[size].append((time.perf_counter() - began) / size)
    print(f"{arguments.threads} threads, median of {arguments.rounds} rounds after one that is not counted")
    print("batch  ms a view  ratio to batch 1  lowest  highest")
    for size, values in seconds.items():
        ratios = [value / single for value, single in zip(values, seconds[1], strict=True)]
        print(
            f"{size:5d}  {statistics.median(values) * 1000:9.1f}  {statistics.median(ratios):16.2f}"
            f"  {min(ratios):6.2f}  {max(ratios):7.2f}"
        )


if __name__ == "__main__":
    main()
