"""Send the evaluation's files through a running server and report what it answers."""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from bench.camera_motion_eval.files import Truth, read_truth
from bench.camera_motion_eval.report import Answer, render


def ask(client: httpx.Client, path: Path, *, model: str, views: str | None) -> dict[str, Any]:
    """One file to `POST /classify`; raises for an answer that is no success."""
    parameters = {"model": model, "top_k": "10", **({"views": views} if views else {})}
    with path.open("rb") as file:
        reply = client.post("/classify", params=parameters, content=file.read())
    reply.raise_for_status()
    answer: dict[str, Any] = reply.json()
    return answer


def to_answer(truth: Truth, reply: dict[str, Any]) -> Answer:
    """What the report needs of a reply."""
    frames = reply["frames"]
    best = [max(range(len(row)), key=row.__getitem__) for row in frames["scores"]]
    return Answer(
        truth=truth,
        label=reply["predictions"][0]["label"],
        confidence=reply["predictions"][0]["score"],
        frame_times_s=tuple(frames["time_s"]),
        frame_labels=tuple(frames["labels"][index] for index in best),
    )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, required=True, help="folder that make wrote")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="camera-motion")
    parser.add_argument("--views", help="such as 5x1; the model's default if left out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the report goes; beside the files if left out")
    options = parser.parse_args()
    truths = read_truth(options.files)
    with httpx.Client(base_url=options.url, timeout=120) as client, ThreadPoolExecutor(options.jobs) as pool:

        def one(truth: Truth) -> Answer:
            reply = ask(client, options.files / truth.file, model=options.model, views=options.views)
            return to_answer(truth, reply)

        answers = list(pool.map(one, truths))
    report, figures = render(answers)
    out = options.out or options.files / f"report-{options.model}.md"
    out.write_text(report)
    out.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n")
    print(report)


if __name__ == "__main__":
    main()
