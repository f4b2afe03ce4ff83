"""What Triton says of a model, and whether that is the model that the manifest describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from laps_server.engines.base import EngineInfo
from laps_server.errors import BackendMismatch
from laps_server.models.repository import ModelFiles


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output: ``datatype`` in Triton's words, ``shape`` with -1 for the batch axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name!r} {self.datatype} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class ServedGraph:
    """One version of a model as Triton has it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int

    @classmethod
    def parse(cls, metadata: Mapping[str, Any], config: Mapping[str, Any]) -> ServedGraph:
        """From Triton's answers as JSON; over gRPC its numbers come as text."""
        return cls(
            inputs=_tensors(metadata.get("inputs", ())),
            outputs=_tensors(metadata.get("outputs", ())),
            max_batch_size=int(config.get("max_batch_size", 0)),
        )


def check_contract(served: ServedGraph, files: ModelFiles, info: EngineInfo, *, largest_batch: int) -> None:
    """Compare Triton's model with the manifest.

    Raises:
        BackendMismatch: naming everything that differs.
    """
    manifest = files.manifest
    wrong = [
        *_differences("input", served.inputs, (Tensor(manifest.clip.name, "UINT8", (-1, *info.clip_shape)),)),
        *_differences(
            "output",
            served.outputs,
            tuple(Tensor(name, "FP32", (-1, *shape)) for name, shape in manifest.outputs.items()),
        ),
    ]
    labels = {output.shape[-1] for output in served.outputs if output.name == manifest.output.name and output.shape}
    if labels and labels != {manifest.labels.count}:
        wrong.append(f"it gives {labels.pop()} logits for {manifest.labels.count} labels")
    if not wrong and served.max_batch_size < largest_batch:
        raise BackendMismatch(
            f"Triton takes at most {served.max_batch_size} views of {files.name!r} in a batch, not {largest_batch}",
            hint="raise max_batch_size in its config.pbtxt, or lower LAPS_MAX_BATCH_VIEWS",
        )
    if wrong:
        raise BackendMismatch(
            f"Triton's {files.name!r} version {files.version} is not the manifest's: {'; '.join(wrong)}",
            hint="give Triton and this server the same model repository",
        )


def _tensors(described: list[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(str(item["name"]), str(item["datatype"]), tuple(int(size) for size in item["shape"]))
        for item in described
    )


def _differences(what: str, found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> list[str]:
    if len(found) == len(expected) and set(found) == set(expected):
        return []
    return [f"its {what} is {', '.join(map(str, found)) or 'missing'} and not {', '.join(map(str, expected))}"]
