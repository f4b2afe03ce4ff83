"""The engines by name: another engine is an adapter, a name and a batch size in ``choices.py``, and a row here.

Builders import their adapter when they are called and not before, since some adapters stand on packages that only an
extra brings. The fake engine has no row: tests hand it to a scheduler themselves, and no setting can choose it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import Literal

from laps_server.engines.base import Engine
from laps_server.engines.choices import EngineName
from laps_server.errors import BadParameter
from laps_server.models.manifest import Manifest
from laps_server.models.repository import ModelFiles
from laps_server.settings import Settings

# Of what engines get: a model, what the operator chose, and the one thread that engines in this process share.
Builder = Callable[[ModelFiles, Settings, ThreadPoolExecutor], Engine]
ModelFormat = Literal["ONNX graph", "TensorRT plan"]


@dataclass(frozen=True, slots=True)
class RegisteredEngine:
    """What is known of an engine without importing it.

    ``needs`` are top-level modules, and ``extra`` is the extra of laps-server that brings them; None where every
    installation has them.
    """

    name: EngineName
    builder: Builder
    runs: frozenset[ModelFormat]
    needs: tuple[str, ...]
    extra: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the modules that it needs are there; they are not imported for that."""
        return not self._missing()

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

    def build(self, files: ModelFiles, settings: Settings, executor: ThreadPoolExecutor) -> Engine:
        """An engine for one version of one model, not yet started.

        Args:
            files: the model.
            settings: what the operator chose.
            executor: stays the caller's, to be shut down after the engine is closed.

        Raises:
            BadParameter: a module that it needs cannot be imported.
        """
        try:
            return self.builder(files, settings, executor)
        except ImportError as exc:
            raise BadParameter(f"engine {self.name} cannot be loaded: {exc}", hint=self._install_hint()) from exc

    def _missing(self) -> tuple[str, ...]:
        return tuple(module for module in self.needs if find_spec(module) is None)

    def _install_hint(self) -> str:
        return f"pip install 'laps-server{'' if self.extra is None else f'[{self.extra}]'}'"


def format_of(manifest: Manifest) -> ModelFormat:
    """What a model's file is."""
    return "ONNX graph" if manifest.plan is None else "TensorRT plan"


def _build_ort(files: ModelFiles, settings: Settings, executor: ThreadPoolExecutor) -> Engine:
    from laps_server.engines.ort import OrtEngine  # noqa: PLC0415 - see above

    return OrtEngine(files, device=settings.device, threads=settings.threads, executor=executor)


def _build_triton(files: ModelFiles, settings: Settings, _: ThreadPoolExecutor) -> Engine:
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


_ROWS = (
    RegisteredEngine(
        name="ort",
        builder=_build_ort,
        runs=frozenset({"ONNX graph"}),
        needs=("onnxruntime",),
    ),
    RegisteredEngine(
        name="triton",
        builder=_build_triton,
        runs=frozenset({"ONNX graph", "TensorRT plan"}),
        needs=("tritonclient", "grpc", "aiohttp"),
        extra="triton",
    ),
)
ENGINES: Mapping[EngineName, RegisteredEngine] = MappingProxyType({row.name: row for row in _ROWS})
