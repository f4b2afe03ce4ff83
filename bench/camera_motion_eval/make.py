"""Make the evaluation's files: single motions, and pairs of motions one after the other; goes on where it stopped."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.camera_motion_eval.files import TRUTH_NAME, make, plan, to_json


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="text file, one picture's path a line")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="files of one motion")
    parser.add_argument("--pairs", type=int, default=120, help="files of two motions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    photographs = options.photographs.read_text().split("\n")
    photographs = [line for line in photographs if line]
    options.out.mkdir(parents=True, exist_ok=True)
    plans = [plan(number, photographs, seed=options.seed, pairs=False) for number in range(options.count)]
    plans += [plan(number, photographs, seed=options.seed, pairs=True) for number in range(options.pairs)]
    with ThreadPoolExecutor(options.jobs) as pool, (options.out / TRUTH_NAME).open("w") as truths:
        waiting = [(truth, pool.submit(make, truth, command, options.out)) for truth, command in plans]
        for number, (truth, job) in enumerate(waiting, start=1):
            job.result()
            truths.write(to_json(truth) + "\n")
            if number % 50 == 0 or number == len(waiting):
                print(f"{number} of {len(waiting)}", flush=True)


if __name__ == "__main__":
    main()
