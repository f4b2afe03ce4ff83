"""TensorRT's builder, wherever it is: trtexec here, trtexec in a container, or the Python package.

All three build a strongly typed network: precisions are the graph's. Version 10 must be told so, version 11 knows
nothing else and has lost the flags for it, so trtexec is asked for its options first. Every batch from 1 to the
largest size has exactly one optimisation profile, tuned for the fixed size at its upper end.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from laps_export.errors import BuilderError
from laps_export.graph.tensor_contract import INPUT_NAME, TensorContract

UNKNOWN = "unknown"
DEFAULT_BATCH_SIZES = (1, 2, 4, 8, 16)

_TRTEXEC_FOLDERS = ("/usr/src/tensorrt/bin", "/opt/tensorrt/bin", "/workspace/tensorrt/bin")
"""Where NVIDIA's packages and containers put trtexec, which need not be on PATH."""

_TYPED = "--stronglyTyped"
_WEAKLY_TYPED = "--fp16"
_VERSION = re.compile(r"TensorRT version: ([0-9]+(?:\.[0-9]+)+)")
_BANNER = re.compile(r"\[TensorRT v([0-9]+)\]")
_GPU = re.compile(r"Selected Device: (.+)")
_CAPABILITY = re.compile(r"Compute Capability: ([0-9.]+)")
_TAIL_LINES = 15

# Attributes of CUDA's driver interface.
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What is to be built; all files lie in one folder.

    Attributes:
        graph: the ONNX file, typed as the plan shall compute.
        plan: the file to write.
        timing_cache: read where it is there, and written.
        contract: the graph's.
        batch_sizes: ascending.
        tf32: whether float32 products may be rounded to TF32's ten bits.
    """

    graph: Path
    plan: Path
    timing_cache: Path
    contract: TensorContract
    batch_sizes: tuple[int, ...]
    tf32: bool = False

    @property
    def profiles(self) -> list[tuple[int, int]]:
        """Smallest and largest batch of each profile; it is tuned for the largest."""
        return [(below + 1, size) for below, size in pairwise((0, *self.batch_sizes))]


@dataclass(frozen=True)
class BuildEnvironment:
    """What built a plan, for the manifest; `unknown` where the builder did not say."""

    tensorrt: str
    gpu: str
    compute_capability: str


class Builder(Protocol):
    """Builds plans on the GPU of this machine."""

    def build(self, request: BuildRequest) -> BuildEnvironment:
        """Write `request.plan`.

        Raises:
            BuilderError: `builder_failed`, `builder_too_old`, `no_builder`.
        """
        ...


def check_batch_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes, ascending.

    Raises:
        BuilderError: `invalid_batch_sizes`.
    """
    ordered = tuple(sorted(set(sizes)))
    if not ordered or ordered[0] < 1 or ordered[-1] > 64:
        raise BuilderError(
            f"batch sizes {', '.join(map(str, sizes)) or 'none'}", code="invalid_batch_sizes", hint="1 to 64"
        )
    return ordered


def find_builder(*, container: str | None, command: str) -> Builder:
    """The builder that is here, trtexec before the Python package.

    Args:
        container: an image with trtexec, to be run by docker; it wins.
        command: the command line that asked, for the hint.

    Raises:
        BuilderError: `no_builder`, with what to run and where.
    """
    if container is not None:
        docker = shutil.which("docker")
        if docker is None:
            raise BuilderError("docker is not on PATH", code="no_builder", hint="install it, or leave --container out")
        return ContainerTrtexec(docker, container)
    found = shutil.which("trtexec", path=os.pathsep.join((os.environ.get("PATH", ""), *_TRTEXEC_FOLDERS)))
    if found is not None:
        return Trtexec((found,))
    if importlib.util.find_spec("tensorrt") is not None:
        return PythonTensorrt()
    image = "nvcr.io/nvidia/tensorrt:26.06-py3"
    raise BuilderError(
        "neither trtexec nor the Python package tensorrt is here",
        code="no_builder",
        hint=f"on the machine whose GPU will run the plan, with docker and NVIDIA's container toolkit: {command}"
        f" --container {image} (the release of your tritonserver image); or run the same command without --container"
        " where trtexec, or `pip install tensorrt` of Triton's version, is installed",
    )


class Trtexec:
    """trtexec as a command of this machine."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command

    def build(self, request: BuildRequest) -> BuildEnvironment:
        """See `Builder.build`."""
        options = self._run(request, ["--help"], fails=False)
        typed = [_TYPED] if _TYPED in options else []
        if not typed and _WEAKLY_TYPED in options:
            raise BuilderError(
                f"{self._command[0]} does not know {_TYPED}", code="builder_too_old", hint="TensorRT 10 or newer"
            )
        log = self._run(request, [*typed, *trtexec_arguments(request)], fails=True)
        if not request.plan.is_file():
            raise BuilderError("trtexec ended well and wrote no plan", code="builder_failed", hint=_tail(log))
        return read_log(log)

    def _prefix(self, request: BuildRequest) -> list[str]:  # noqa: ARG002 - a container needs it
        return [*self._command]

    def _run(self, request: BuildRequest, arguments: list[str], *, fails: bool) -> str:
        command = [*self._prefix(request), *arguments]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
            )
        except OSError as exc:
            raise BuilderError(f"cannot run {command[0]}: {exc.strerror or exc}", code="no_builder") from exc
        if fails and done.returncode != 0:
            raise BuilderError(
                f"trtexec ended with {done.returncode}",
                code="builder_failed",
                hint=f"its last words: {_tail(done.stdout)}",
            )
        return done.stdout


class ContainerTrtexec(Trtexec):
    """trtexec in a container; the request's folder is all that the container sees."""

    def __init__(self, docker: str, image: str) -> None:
        super().__init__((docker,))
        self._image = image

    def _prefix(self, request: BuildRequest) -> list[str]:
        folder = request.graph.parent
        # A shell, because images differ in where trtexec lies; "$@" hands the arguments on untouched.
        script = f'PATH="$PATH:{":".join(_TRTEXEC_FOLDERS)}" exec trtexec "$@"'
        return [
            *(*self._command, "run", "--rm", "--gpus", "all"),
            *("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{folder}:{folder}", "--workdir", str(folder)),
            *(self._image, "sh", "-c", script, "trtexec"),
        ]


def trtexec_arguments(request: BuildRequest) -> list[str]:
    """The options of trtexec that versions 10 and 11 have in common."""
    shape = request.contract

    def clips(batch: int) -> str:
        return f"{INPUT_NAME}:{batch}x{shape.frames}x{shape.height}x{shape.width}x3"

    arguments = [
        f"--onnx={request.graph}",
        f"--saveEngine={request.plan}",
        f"--timingCacheFile={request.timing_cache}",
        "--skipInference",
    ]
    if not request.tf32:
        arguments.append("--noTF32")
    for i, (smallest, largest) in enumerate(request.profiles):
        arguments += [
            f"--profile={i}",
            f"--minShapes={clips(smallest)}",
            f"--optShapes={clips(largest)}",
            f"--maxShapes={clips(largest)}",
        ]
    return arguments


def read_log(log: str) -> BuildEnvironment:
    """Version and GPU out of trtexec's log; its first line has the version as one number, 101303 for 10.13.3."""
    version = _VERSION.search(log)
    banner = _BANNER.search(log)
    tensorrt = version[1] if version else UNKNOWN
    if not version and banner:
        number = int(banner[1])
        tensorrt = f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    gpu, capability = _GPU.search(log), _CAPABILITY.search(log)
    return BuildEnvironment(
        tensorrt=tensorrt,
        gpu=gpu[1].strip() if gpu else UNKNOWN,
        compute_capability=capability[1] if capability else UNKNOWN,
    )


class PythonTensorrt:
    """The Python package `tensorrt`, versions 10 and 11."""

    def build(self, request: BuildRequest) -> BuildEnvironment:
        """See `Builder.build`."""
        trt: Any = importlib.import_module("tensorrt")
        builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, trt.Logger(trt.Logger.WARNING))
        if not parser.parse_from_file(str(request.graph)):
            errors = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
            raise BuilderError(f"TensorRT cannot read {request.graph.name}", code="builder_failed", hint=errors)
        config = builder.create_builder_config()
        if not request.tf32:
            config.clear_flag(trt.BuilderFlag.TF32)
        shape = request.contract
        for smallest, largest in request.profiles:
            profile = builder.create_optimization_profile()
            sizes = [(n, shape.frames, shape.height, shape.width, 3) for n in (smallest, largest, largest)]
            profile.set_shape(INPUT_NAME, *sizes)
            config.add_optimization_profile(profile)
        _set_timing_cache(config, request.timing_cache)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuilderError("TensorRT built no plan", code="builder_failed", hint="its log above says why")
        request.plan.write_bytes(plan)
        request.timing_cache.write_bytes(config.get_timing_cache().serialize())
        gpu, capability = current_gpu()
        return BuildEnvironment(tensorrt=trt.__version__, gpu=gpu, compute_capability=capability)


def _set_timing_cache(config: Any, path: Path) -> None:
    """Start from the file; a cache of another GPU or version is refused by TensorRT, and an empty one taken."""
    known = path.read_bytes() if path.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(known), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def current_gpu() -> tuple[str, str]:
    """Name and compute capability of the first GPU that CUDA sees; unknown where it sees none."""
    try:
        cuda: Any = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return UNKNOWN, UNKNOWN
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    major, minor = ctypes.c_int(), ctypes.c_int()
    calls: tuple[Callable[[], int], ...] = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetName(name, len(name), device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
    )
    if any(call() != 0 for call in calls):
        return UNKNOWN, UNKNOWN
    return name.value.decode(errors="replace"), f"{major.value}.{minor.value}"


def _tail(log: str) -> str:
    return "\n".join(log.splitlines()[-_TAIL_LINES:])
