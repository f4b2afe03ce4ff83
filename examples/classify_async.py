"""Classify many videos at once; print each as soon as it is done.

python examples/classify_async.py http://127.0.0.1:8000 *.mp4
"""

import asyncio
import sys

from laps_client import AsyncLapsClient


async def main(server: str, videos: list[str]) -> int:
    """Returns how many failed."""
    failed = 0
    async with AsyncLapsClient(server) as client:
        async for outcome in client.classify_many(videos, concurrency=8, top_k=1, frames=False):
            if outcome.result is not None:
                print(f"{outcome.path}: {outcome.result.top.label}")
            else:  # one file's error stops none of the others
                failed += 1
                print(f"{outcome.path}: {outcome.error}", file=sys.stderr)
    return failed


server, *videos = sys.argv[1:]
sys.exit(1 if asyncio.run(main(server, videos)) else 0)
