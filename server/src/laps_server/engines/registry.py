"""The engines by name: another engine is an adapter, a name and a batch size in ``choices.py``, and a row here.

Builders import their adapter when they are called and not before, since some adapters stand on packages that only an
extra brings. The fake engine has no row: tests hand it to a scheduler themselves, and no setting can choose it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Literal

from laps_server.engines.base import Engine
from laps_server.engines.choices import Candidate, EngineName, Precision
from laps_server.engines.machine import Machine
from laps_server.errors import BadParameter
from laps_server.models.manifest import Manifest
from laps_server.models.repository import ModelFiles
from laps_server.settings import Settings

# Of what engines get: a model, what it is computed in, what the operator chose, and the one thread that engines in this
# process share.
Builder = Callable[[ModelFiles, Precision, Settings, ThreadPoolExecutor], Engine]
# Which precisions the engine computes natively for a model on a machine, float32 first.
Precisions = Callable[[Manifest, Machine], tuple[Precision, ...]]
ModelFormat = Literal["ONNX graph", "TensorRT plan"]


@dataclass(frozen=True, slots=True)
class RegisteredEngine:
    """What is known of an engine without importing it.

    ``needs`` are top-level modules, and ``extra`` is the extra of laps-server that brings them; None where every
    installation has them. ``distributions`` are the packages whose versions its speed and its numbers depend on.
    ``in_process`` engines are those that ``auto`` tries: another server has to be asked for.
    """

    name: EngineName
    builder: Builder
    precisions: Precisions
    runs: frozenset[ModelFormat]
    needs: tuple[str, ...]
    distributions: tuple[str, ...]
    extra: str | None = None
    in_process: bool = True

    @property
    def installed(self) -> bool:
        """Whether the modules that it needs are there; they are not imported for that."""
        return not self._missing()

    @property
    def versions(self) -> str:
        """Of its packages, as in ``onnxruntime 1.32.0``."""
        found = {name: _version(name) for name in self.distributions}
        return ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)

    def can_run(self, manifest: Manifest) -> bool:
        """Whether it runs models of that format."""
        return format_of(manifest) in self.runs

    def check_installed(self) -> None:
        """Refuse to go on without the modules that it needs, before anything slow is done.

        Raises:
            BadParameter: naming what is missing, and the extra that brings it.
        """
        if missing := self._missing():
            raise BadParameter(f"engine {self.name} needs {', '.join(missing)}", hint=self._install_hint())

    def build(
        self, files: ModelFiles, precision: Precision, settings: Settings, executor: ThreadPoolExecutor
    ) -> Engine:
        """An engine for one version of one model, not yet started.

        Args:
            files: the model.
            precision: one of :attr:`precisions` for it.
            settings: what the operator chose.
            executor: stays the caller's, to be shut down after the engine is closed.

        Raises:
            BadParameter: a module that it needs cannot be imported.
        """
        try:
            return self.builder(files, precision, settings, executor)
        except ImportError as exc:
            raise BadParameter(f"engine {self.name} cannot be loaded: {exc}", hint=self._install_hint()) from exc

    def _missing(self) -> tuple[str, ...]:
        return tuple(module for module in self.needs if find_spec(module) is None)

    def _install_hint(self) -> str:
        return f"pip install 'laps-server{'' if self.extra is None else f'[{self.extra}]'}'"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def format_of(manifest: Manifest) -> ModelFormat:
    """What a model's file is."""
    return "ONNX graph" if manifest.plan is None else "TensorRT plan"


def _build_openvino(
    files: ModelFiles, precision: Precision, settings: Settings, executor: ThreadPoolExecutor
) -> Engine:
    from laps_server.engines.openvino import OpenVinoEngine  # noqa: PLC0415 - see above

    return OpenVinoEngine(files, precision=precision, threads=settings.threads, executor=executor)


def _openvino_precisions(manifest: Manifest, machine: Machine) -> tuple[Precision, ...]:
    if machine.device != "cpu":
        return ()
    native: dict[Precision, bool] = {
        "float32": True,
        "bfloat16": machine.instruction_set("bfloat16") is not None,
        "float16": machine.instruction_set("float16") is not None,
        "int8": "int8" in manifest.precisions,
    }
    return tuple(precision for precision, is_there in native.items() if is_there)


def _build_ort(files: ModelFiles, precision: Precision, settings: Settings, executor: ThreadPoolExecutor) -> Engine:
    from laps_server.engines.ort import OrtEngine  # noqa: PLC0415 - see above

    if settings.device == "cpu":
        return OrtEngine(files, threads=settings.threads, executor=executor, precision=precision)
    from laps_server.engines.ort_gpu import OrtGpuEngine  # noqa: PLC0415

    return OrtGpuEngine(
        files,
        device=settings.device,
        precision=precision,
        threads=settings.threads,
        cache_dir=settings.cache_dir,
    )


def _ort_precisions(manifest: Manifest, machine: Machine) -> tuple[Precision, ...]:
    match machine.device:
        case "cpu":
            other: Precision = "int8"
        case "cuda":
            other = "float16"
        case "tensorrt":  # rounds a float32 graph itself
            return ("float32", "float16")
    return ("float32", other) if other in manifest.precisions else ("float32",)


def _build_triton(files: ModelFiles, _: Precision, settings: Settings, __: ThreadPoolExecutor) -> Engine:
    from laps_server.engines.triton.engine import TritonEngine  # noqa: PLC0415 - see above
    from laps_server.engines.triton.wire import connect  # noqa: PLC0415

    if settings.triton_url is None:
        raise BadParameter("engine triton needs triton_url", hint="as grpc://host:8001")
    return TritonEngine(
        files,
        url=settings.triton_url,
        connect=partial(connect, ca_file=settings.triton_ca_file),
        shared_memory=settings.triton_shared_memory,
        concurrency=settings.triton_concurrency,
        timeout_s=settings.triton_timeout_s,
        start_timeout_s=settings.triton_start_timeout_s,
    )


def _triton_precisions(manifest: Manifest, _: Machine) -> tuple[Precision, ...]:
    return (manifest.graph_precision,)


_ROWS = (
    RegisteredEngine(
        name="openvino",
        builder=_build_openvino,
        precisions=_openvino_precisions,
        runs=frozenset({"ONNX graph"}),
        needs=("openvino",),
        distributions=("openvino",),
    ),
    RegisteredEngine(
        name="ort",
        builder=_build_ort,
        precisions=_ort_precisions,
        runs=frozenset({"ONNX graph"}),
        needs=("onnxruntime",),
        distributions=("onnxruntime", "onnxruntime-gpu"),
    ),
    RegisteredEngine(
        name="triton",
        builder=_build_triton,
        precisions=_triton_precisions,
        runs=frozenset({"ONNX graph", "TensorRT plan"}),
        needs=("tritonclient", "grpc", "aiohttp"),
        distributions=("tritonclient",),
        extra="triton",
        in_process=False,
    ),
)
ENGINES: Mapping[EngineName, RegisteredEngine] = MappingProxyType({row.name: row for row in _ROWS})


def engine_rows(settings: Settings) -> tuple[RegisteredEngine, ...]:
    """The engines that may run a model, as far as they are installed.

    Raises:
        BadParameter: one that was asked for is not.
    """
    if settings.engine == "auto":
        return tuple(row for row in ENGINES.values() if row.in_process and row.installed)
    row = ENGINES[settings.engine]
    row.check_installed()
    return (row,)


def candidates(manifest: Manifest, settings: Settings, machine: Machine) -> tuple[Candidate, ...]:
    """The ways to run a model that the operator's choice leaves, in the registry's order.

    Where the choice is left to a trial, a coarser precision than float32 is none for untrained weights, whose answers
    cannot be told apart.

    Raises:
        BadParameter: none is left, or the engine that the operator chose is not installed.
    """
    found = [
        Candidate(row.name, precision)
        for row in engine_rows(settings)
        if row.can_run(manifest)
        for precision in row.precisions(manifest, machine)
    ]
    if settings.precision == "auto":
        allowed = [candidate for candidate in found if _may_be_chosen(manifest, candidate, machine)]
    else:
        allowed = [candidate for candidate in found if candidate.precision == settings.precision]
    if not allowed:
        there = ", ".join(f"{candidate.engine} {candidate.precision}" for candidate in found) or "nothing"
        raise BadParameter(
            f"model {manifest.name!r} cannot be run by engine {settings.engine} in precision {settings.precision} here",
            hint=f"there is: {there}",
        )
    return tuple(allowed)


def _may_be_chosen(manifest: Manifest, candidate: Candidate, machine: Machine) -> bool:
    """Whether nobody has to ask for it: int8 only where it was measured to hold, others unless it does not."""
    if candidate.precision == manifest.graph_precision:
        return True
    if manifest.untrained:
        return False
    own = manifest.precisions.get(candidate.precision)
    record = None if own is None else own.record(candidate.engine, machine.instruction_set(candidate.precision))
    return candidate.precision != "int8" if record is None else record.holds
