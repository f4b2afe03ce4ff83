"""Who should form the batches: our scheduler, or Triton's dynamic batcher? Every arrangement under one load.

The arrangements take turns, so that what else the machine does falls on all of them.

Run on any exported model, with the real Triton that ``make triton-env`` installs::

    PYTHONPATH=tests python bench/triton_batching.py model_repository/camera-motion

``--accelerator`` puts an accelerator's arithmetic in place of the CPU's: a batch takes a fixed time and some for every
view, of 8 frames of 224 x 224 whose pixels go all the way. That is a model of a device and no measurement of one.

The load: clients with videos of 15 views, one after the other, and as many with a single view each, shared among
gateways that have a scheduler and a connection each. They share a process, and with the accelerator's arithmetic a
processor with Triton: more batches in flight cost more there than on a machine of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from laps_export.repository.triton_config import PREFERRED_BATCH_SIZES, QUEUE_DELAY_US
from laps_server.arrays import UInt8Array
from laps_server.engines.base import Engine, EngineInfo, InferResult
from laps_server.engines.triton.engine import TritonEngine
from laps_server.engines.triton.wire import connect
from laps_server.errors import LapsError
from laps_server.models.repository import ModelFiles, read_model
from laps_server.scheduler import Scheduler, Submission, View, ViewResult
from support.model_repositories import LABELS, colour_graph
from support.real_triton import Triton, running_triton, write_shipped_model, write_twin

VIDEO_VIEWS = 15
ACCELERATOR_S = (0.02, 0.005)  # a batch, a view
FRAMES, SIZE = 8, 224


@dataclass(frozen=True)
class Arrangement:
    """One arrangement of queue and batches that is measured."""

    says: str
    concurrency: int
    batch_sizes: tuple[int, ...]
    dynamic_batching: bool


ARRANGEMENTS = (
    Arrangement("scheduler, 1 batch of 16", 1, (1, 2, 4, 8, 16), False),
    Arrangement("the same, and Triton joins", 1, (1, 2, 4, 8, 16), True),
    Arrangement("scheduler, 2 batches of 16", 2, (1, 2, 4, 8, 16), False),
    Arrangement("the same, and Triton joins", 2, (1, 2, 4, 8, 16), True),
    Arrangement("Triton, from 16 batches of 1", 16, (1,), True),
    Arrangement("Triton, from 8 batches of 4", 8, (1, 2, 4), True),
    Arrangement("Triton, from 4 batches of 8", 4, (1, 2, 4, 8), True),
)


class WithInfo:
    """An engine that has another concurrency."""

    def __init__(self, engine: Engine, arrangement: Arrangement) -> None:
        self._engine = engine
        self.info: EngineInfo = replace(engine.info, concurrency=arrangement.concurrency)
        self.unavailable_reason = None
        self.start = engine.start
        self.close = engine.close

    async def infer(self, clips: UInt8Array, *, deadline: float | None = None) -> InferResult:
        """The engine's."""
        return await self._engine.infer(clips, deadline=deadline)


def write(out: UInt8Array) -> None:
    """Pixels for nothing, so that decoding is not what is measured."""
    out[...] = 128


@asynccontextmanager
async def gateway(
    files: ModelFiles, triton: Triton, arrangement: Arrangement, arguments: argparse.Namespace
) -> AsyncIterator[Scheduler]:
    """A scheduler with an engine, and neither HTTP nor videos before it."""
    name = "on" if arrangement.dynamic_batching else "off"
    served = replace(files, manifest=replace(files.manifest, name=name))
    engine = TritonEngine(
        served,
        url=triton.grpc_url,
        connect=connect,
        shared_memory=arguments.shared_memory,
        concurrency=arrangement.concurrency,
        timeout_s=120,
        start_timeout_s=60,
    )
    scheduler = Scheduler(WithInfo(engine, arrangement), batch_sizes=arrangement.batch_sizes, max_queued_views=4096)
    try:
        await scheduler.start()
        yield scheduler
    finally:
        await scheduler.close()


async def client(scheduler: Scheduler, views: int, until: float) -> list[tuple[int, float]]:
    """One request after the other; views and seconds of each."""
    done = []
    while (began := time.monotonic()) < until:
        inbox: asyncio.Queue[ViewResult[int] | LapsError] = asyncio.Queue()
        submission: Submission[int] = scheduler.submit(inbox.put_nowait, announced=views)
        submission.add(View(number, write) for number in range(views))
        for _ in range(views):
            if isinstance(news := await inbox.get(), LapsError):
                raise news
        submission.stop()
        done.append((views, time.monotonic() - began))
    return done


async def measure(
    files: ModelFiles, triton: Triton, arrangement: Arrangement, arguments: argparse.Namespace
) -> tuple[float, float, float, float]:
    """Views a second, median seconds of a video and of a single view, views a batch that Triton ran."""
    log = triton.repository / ("on" if arrangement.dynamic_batching else "off") / "1" / "batches"
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(gateway(files, triton, arrangement, arguments))
            for _ in range(arguments.gateways)
        ]
        log.write_text("")
        began = time.monotonic()
        until = began + arguments.seconds
        results = await asyncio.gather(
            *(
                client(gateways[number % len(gateways)], views, until)
                for views in (VIDEO_VIEWS, 1)
                for number in range(arguments.clients)
            )
        )
        took = time.monotonic() - began
    done = [request for result in results for request in result]
    batches = [sum(map(int, line.split())) for line in log.read_text().splitlines()]
    return (
        sum(views for views, _ in done) / took,
        statistics.median(seconds for views, seconds in done if views == VIDEO_VIEWS),
        statistics.median(seconds for views, seconds in done if views == 1),
        statistics.fmean(batches),
    )


def write_twins(model: Path, repository: Path, arguments: argparse.Namespace) -> None:
    """Two twins for Triton, which differ in dynamic batching alone."""
    preferred = f"preferred_batch_size: {list(arguments.preferred)}"
    for name in ("off", "on"):
        source = repository.with_name("named") / name
        shutil.copytree(model, source)
        config = (source / "config.pbtxt").read_text().replace(f'name: "{model.name}"', f'name: "{name}"', 1)
        config = re.sub(r"(max_queue_delay_microseconds:) \d+", rf"\1 {arguments.delay_us}", config)
        config = re.sub(r"preferred_batch_size: .*", preferred if arguments.preferred else "", config)
        if name == "off":
            config = re.sub(r"^dynamic_batching \{.*?^\}$", "", config, flags=re.MULTILINE | re.DOTALL)
        (source / "config.pbtxt").write_text(config)
        version = write_twin(source, repository)
        if arguments.accelerator:
            (version / "delay_s").write_text(" ".join(map(str, ACCELERATOR_S)))


def corner_graph() -> onnx.ModelProto:
    """Clips of real size to the colour of a corner, so that their transport is all they cost."""
    model = colour_graph(frames=FRAMES, size=SIZE, classes=len(LABELS))
    for name, values in (("starts", [0, 0]), ("ends", [1, 1]), ("axes", [2, 3])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    model.graph.node[0].input[0] = "corner"
    model.graph.node.insert(0, helper.make_node("Slice", ["clips", "starts", "ends", "axes"], ["corner"]))
    return model


def main() -> None:
    """Print one row an arrangement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="<repository>/<name>; needed without --accelerator")
    parser.add_argument("--accelerator", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=6, help="of each kind")
    parser.add_argument("--gateways", type=int, default=2, help="schedulers with a connection each")
    parser.add_argument("--shared-memory", choices=("on", "off"), default="on")
    parser.add_argument("--delay-us", type=int, default=QUEUE_DELAY_US, help="max_queue_delay_microseconds")
    parser.add_argument("--preferred", type=int, nargs="*", default=PREFERRED_BATCH_SIZES, help="preferred_batch_size")
    parser.add_argument(
        "--arrangements", type=int, nargs="*", default=range(len(ARRANGEMENTS)), help="by number, from 0"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        model = arguments.model
        if arguments.accelerator:
            model = write_shipped_model(folder / "corner", frames=FRAMES, size=SIZE, graph=corner_graph())
        files = read_model(model, 1)
        write_twins(model, folder / "triton", arguments)
        rows: dict[Arrangement, list[tuple[float, float, float, float]]] = {
            ARRANGEMENTS[number]: [] for number in arguments.arrangements
        }
        with running_triton(folder / "triton", folder / "log") as triton:
            for _ in range(arguments.rounds):
                for arrangement, row in rows.items():
                    row.append(asyncio.run(measure(files, triton, arrangement, arguments)))
    print(
        f"shared memory {arguments.shared_memory}, max_queue_delay_microseconds {arguments.delay_us}, "
        f"preferred_batch_size {list(arguments.preferred)}"
    )
    clients = f"{arguments.clients} + {arguments.clients} clients"
    print(f"{clients}, {arguments.gateways} gateways, medians of {arguments.rounds} rounds")
    print(f"{'':30s}  views/s  (lowest, highest)  video ms  1 view ms  views a batch")
    for arrangement, row in rows.items():
        rates, videos, singles, sizes = map(np.array, zip(*row, strict=True))
        print(
            f"{arrangement.says:30s}  {np.median(rates):7.1f}  ({rates.min():6.1f}, {rates.max():7.1f})"
            f"  {np.median(videos) * 1000:8.0f}  {np.median(singles) * 1000:9.0f}  {np.median(sizes):13.1f}"
        )


if __name__ == "__main__":
    main()
