"""What one clip costs on this machine's cores, for every model of a repository, as a share of the 60 ms it may take.

python -m bench.clip_cost --threads 2

The models run in turn, round after round, in one process; the median of many rounds is what is printed. Batches of
five are what one video at 5x1 views fills.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

LIMIT_MS = 60.0
BATCHES = (1, 5)


def session(path: Path, threads: int) -> ort.InferenceSession:
    """A session with the server's options."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def cost_ms(model: ort.InferenceSession, batch: int) -> float:
    """Milliseconds a clip of one run over a batch of clips."""
    entry = model.get_inputs()[0]
    clips = np.zeros((batch, *entry.shape[1:]), dtype=np.uint8 if "uint8" in entry.type else np.float32)
    began = time.perf_counter()
    model.run(None, {entry.name: clips})
    return 1000 * (time.perf_counter() - began) / batch


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    paths = sorted(options.repository.glob("*/*/model.onnx"))
    models = {path.parent.parent.name: session(path, options.threads) for path in paths}
    measured: dict[tuple[str, int], list[float]] = {(name, batch): [] for name in models for batch in BATCHES}
    for _ in range(options.rounds):
        for (name, batch), costs in measured.items():
            costs.append(cost_ms(models[name], batch))
    print("| model | clips in a batch | ms a clip | of the limit |\n|---|---|---|---|")
    for (name, batch), costs in measured.items():
        middle = statistics.median(costs[2:])
        print(f"| {name} | {batch} | {middle:.1f} | {middle / LIMIT_MS:.2f} |")


if __name__ == "__main__":
    main()
