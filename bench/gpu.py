"""One model on one GPU, in at most ten minutes: views/s, clips/s with decoding, and the share of the matrix peak.

Where onnxruntime-gpu is installed in place of onnxruntime, and rehearsed on a CPU before that::

    python bench/gpu.py --model laps-k400 --video clip.mp4 --device tensorrt
    python bench/gpu.py --model camera-motion --video clip.mp4 --device cpu --seconds 1 --side 512

The engine is the server's own. Its peak is a chain of products of square matrices through the same execution provider
in the same precision, from and to the device's memory. Every figure has the device's name beside it, and the file is
written after each, so that what a limit of time cuts off is not lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, shape_inference

from laps_server.classify_options import ClassifyOptions
from laps_server.engines.base import Engine
from laps_server.engines.choices import Device, Precision
from laps_server.engines.machine import this_machine
from laps_server.engines.ort_gpu import OrtGpuEngine, providers_of, wants_lowering
from laps_server.engines.registry import ENGINES
from laps_server.models.repository import ModelFiles, discover
from laps_server.offline import classify_many
from laps_server.runtime import build_runtime
from laps_server.settings import Settings
from laps_server.view_grid import ViewGrid

LIMIT_S = 590.0
CHAIN = 8  # products in a run of the peak, so that starting it costs nothing beside them


def main() -> None:
    """Measure every precision of the device, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--views", default="5x3")
    parser.add_argument("--device", choices=get_args(Device), default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each figure")
    parser.add_argument("--side", type=int, default=4096, help="of the peak's matrices")
    parser.add_argument("--out", type=Path, default=Path("bench/results/gpu.json"))
    options = parser.parse_args()
    asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> None:
    """All figures, as far as time allows."""
    (files,) = (found for found in discover(options.repository, versions="latest") if found.name == options.model)
    cores = len(os.sched_getaffinity(0))
    about = {
        "device": device_name(options.device),
        "provider": options.device,
        "onnxruntime": ort.__version__,
        "cores": cores,
        "model": files.name,
        "gflop_a_view": round(2 * gmacs(files.graph), 2),
        "rehearsal": options.device == "cpu",
    }
    figures: list[dict[str, Any]] = []
    options.out.parent.mkdir(parents=True, exist_ok=True)

    def note(precision: Precision, what: str, value: float, unit: str) -> None:
        figures.append(
            {"device": about["device"], "precision": precision, "what": what, "value": round(value, 4), "unit": unit}
        )
        options.out.write_text(json.dumps({**about, "figures": figures}, indent=2) + "\n")
        print(f"{about['device']}  {precision}  {what}: {value:.4g} {unit}", flush=True)

    async with asyncio.timeout(LIMIT_S):
        for precision in ENGINES["ort"].precisions(files.manifest, this_machine(options.device)):
            # An operator pins what auto would try.
            settings = Settings(
                model_repository=(options.repository,), default_model=(files.name,), engine="ort", precision=precision,
                device=options.device, decode_workers=cores, threads=cores,
            )  # fmt: skip
            began = time.monotonic()
            engine = OrtGpuEngine(
                files, device=options.device, precision=precision, threads=cores, cache_dir=settings.cache_dir
            )
            await engine.start(settings.batch_sizes)
            note(precision, "start", time.monotonic() - began, "s")
            rates = {size: await views_a_second(engine, size, options.seconds) for size in settings.batch_sizes}
            await engine.close()
            for size, rate in rates.items():
                note(precision, f"batches of {size}", rate, "views/s")
            peak = peak_gflops(files, precision, options)
            note(precision, f"matrix peak, {options.side} a side", peak, "GFLOP/s")
            note(precision, "share of the peak", max(rates.values()) * about["gflop_a_view"] / peak, "")
            clips = await clips_a_second(settings, options)
            note(precision, f"clips with decoding, {options.views}", clips, "clips/s")
            views = clips * ViewGrid.parse(options.views).total
            note(precision, "decoding keeps up", views / max(rates.values()), "of the engine's views/s")


def device_name(device: Device) -> str:
    """What the figures are of."""
    if device == "cpu":
        return this_machine("cpu").processor
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def gmacs(graph: Path) -> float:
    """Multiplications of a view in products of matrices and convolutions, in 10^9."""
    model = onnx.load(graph)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    total = 0
    for node in inferred.node:
        if node.op_type in {"MatMul", "Gemm"}:
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            total += size_of(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else -1]
        elif node.op_type == "Conv":  # a filter's shape is [out, in / groups, *kernel]
            total += size_of(shapes[node.output[0]]) * size_of(shapes[node.input[1]][1:])
    return total / 1e9


def size_of(shape: Sequence[int]) -> int:
    """Elements of a tensor, all of whose sizes have to be known."""
    if 0 in shape:
        raise ValueError(f"a shape that inference left open: {shape}")
    return int(np.prod(shape))


async def views_a_second(engine: Engine, size: int, seconds: float) -> float:
    """With as many batches in flight as the engine takes."""
    clips = np.random.default_rng(0).integers(0, 256, (size, *engine.info.clip_shape), dtype=np.uint8)
    began = time.monotonic()
    done = 0

    async def keep_going() -> None:
        nonlocal done
        while time.monotonic() - began < seconds:
            await engine.infer(clips)
            done += size

    await asyncio.gather(*(keep_going() for _ in range(engine.info.concurrency)))
    return done / (time.monotonic() - began)


def peak_gflops(files: ModelFiles, precision: Precision, options: argparse.Namespace) -> float:
    """Of a chain of products of square matrices, by the provider and in the precision that the model is run in."""
    providers = providers_of(options.device, files.manifest, precision=precision, largest=1, cache=None)
    lowered = precision == "float32" or wants_lowering(files.manifest, precision)
    kind: type[np.generic] = np.float32 if lowered else np.float16
    session = ort.InferenceSession(
        chain_of_products(options.side, kind),
        providers=[name for name, _ in providers],
        provider_options=[
            {key: value for key, value in chosen.items() if "profile" not in key} for _, chosen in providers
        ],
    )
    memory = "cpu" if options.device == "cpu" else "cuda"
    shape = (options.side, options.side)
    binding = session.io_binding()
    left = ort.OrtValue.ortvalue_from_numpy(np.full(shape, 0.5, kind), memory)
    binding.bind_ortvalue_input("left", left)
    binding.bind_ortvalue_output("product", ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, memory))
    session.run_with_iobinding(binding)
    runs, began = 0, time.monotonic()
    while time.monotonic() - began < options.seconds:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        runs += 1
    return float(runs * CHAIN * 2 * options.side**3 / 1e9 / (time.monotonic() - began))


def chain_of_products(side: int, kind: type[np.generic]) -> bytes:
    """``left`` times the same weights, again and again; their scale keeps the numbers where they are."""
    weights = (np.random.default_rng(0).standard_normal((side, side)) / side**0.5).astype(kind)
    element = TensorProto.FLOAT if kind is np.float32 else TensorProto.FLOAT16
    names = ["left", *(f"product {place}" for place in range(1, CHAIN)), "product"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[i], "weights"], [names[i + 1]]) for i in range(CHAIN)],
        "peak",
        [helper.make_tensor_value_info("left", element, [side, side])],
        [helper.make_tensor_value_info("product", element, [side, side])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized


async def clips_a_second(settings: Settings, options: argparse.Namespace) -> float:
    """The whole of it without HTTP, over one video again and again, with enough of them at once."""
    runtime = build_runtime(settings)
    await runtime.start()
    try:
        wanted = ClassifyOptions(views=ViewGrid.parse(options.views))
        at_once = 2 * settings.decode_workers
        done, began = 0, 0.0
        results = classify_many(runtime, [options.video] * 1_000_000, wanted, concurrency=at_once)
        async with aclosing(results):
            async for result in results:
                if result.error is not None:
                    raise result.error
                done += 1
                if done == at_once:  # those before filled the queues
                    began = time.monotonic()
                elif done > at_once and time.monotonic() - began >= 2 * options.seconds:
                    break
        return (done - at_once) / (time.monotonic() - began)
    finally:
        await runtime.close()


if __name__ == "__main__":
    main()
