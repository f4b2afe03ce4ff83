"""A TensorRT plan beside the model that it was built from: an entry of its own, for Triton alone.

The plan comes from the same ONNX file: typed to float16 first, checked against it, then built. The entry carries
the labels and nearly the manifest of its source, so that a gateway decodes and samples for it in the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from laps_export.errors import GraphError, RepositoryError
from laps_export.families import registry
from laps_export.families.family import Float16Span
from laps_export.graph.float16 import convert_to_float16
from laps_export.graph.parity import FLOAT16_GATE, ParityGate, check_twin
from laps_export.graph.tensor_contract import TensorContract
from laps_export.progress import OnProgress, ignore
from laps_export.repository.check_entry import check_entry
from laps_export.repository.entry import GRAPH_NAME, MANIFEST_NAME, RepositoryEntry, check_name, sha256_of
from laps_export.repository.label_set import LabelSet, parse_labels
from laps_export.repository.manifest import read_contract, to_bytes
from laps_export.repository.publish import publish, staging
from laps_export.repository.triton_config import render_plan_config
from laps_export.repository.version_choice import choose_version
from laps_export.tensorrt.builders import DEFAULT_BATCH_SIZES, BuildEnvironment, Builder, BuildRequest

PLAN_NAME = "model.plan"
SUFFIX = "-trt"
PlanPrecision = Literal["float16", "float32"]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is to be built.

    Attributes:
        name: the entry's; None is the source's with `-trt`.
        version: of the source; None is its highest. The plan's version has the same number.
        precision: float16, or float32 without TF32's rounding.
        batch_sizes: ascending; each ends one optimisation profile.
        timing_cache: a file of measurements to start from and to add to; None keeps none.
        force: replace the version if it is there.
    """

    name: str | None = None
    version: int | None = None
    precision: PlanPrecision = "float16"
    batch_sizes: tuple[int, ...] = DEFAULT_BATCH_SIZES
    timing_cache: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class WrittenPlan:
    """What was written.

    Attributes:
        path: the version's folder.
        built: what the builder says of the plan.
        max_abs_diff: of the typed graph from its source, in logits.
        unkept_timings: why the timing cache could not be written, or None.
    """

    path: Path
    built: BuildEnvironment
    max_abs_diff: float
    unkept_timings: str | None = None


@dataclass(frozen=True)
class _SourceVersion:
    """The version of an ONNX entry that a plan is built from."""

    entry: RepositoryEntry
    version: int
    manifest: dict[str, Any]
    labels: LabelSet

    @property
    def graph(self) -> Path:
        return self.entry.version_path(self.version) / GRAPH_NAME

    @property
    def contract(self) -> TensorContract:
        return read_contract(self.manifest)

    @property
    def float16(self) -> Float16Span | None:
        """What of the graph may be float16, as its family says."""
        return registry.find_family(self.manifest["family"]).float16


def write_plan(
    source: Path,
    options: PlanOptions,
    *,
    find_builder: Callable[[], Builder],
    gate: ParityGate = FLOAT16_GATE,
    on_progress: OnProgress | None = None,
) -> WrittenPlan:
    """Build a plan of one version of a model and move it into the model's repository as an entry of its own.

    Args:
        source: `<repository>/<name>`, an ONNX entry.
        options: what to build.
        find_builder: asked after everything that can be checked without a builder.
        gate: what the float16 graph must reach.
        on_progress: called at every step.

    Raises:
        RepositoryError, LabelsError: source or target are not what they should be.
        GraphError, ParityError: the graph cannot be float16.
        BuilderError: no builder is here, or it failed.
    """
    report = on_progress or ignore
    origin = _read_source(source, options.version)
    entry = RepositoryEntry(origin.entry.repository, check_name(options.name or f"{origin.entry.name}{SUFFIX}"))

    def check() -> None:
        choose_version(
            entry, labels=origin.labels, contract=origin.contract, version=origin.version, force=options.force
        )
        _check_profiles(entry, options.batch_sizes)

    check()
    builder = find_builder()
    try:
        with staging(entry.repository) as stage:
            request = _start_request(stage, origin, options)
            parity = _type_graph(request, origin, options, gate=gate, report=report)
            report("TensorRT builds the plan, which takes minutes", 0, 1)
            built = builder.build(request)
            target = RepositoryEntry(stage, entry.name)
            _fill(target, origin, options, request=request, built=built, parity=parity)
            publish(target, entry, origin.version, check=check)
            unkept = _keep_timings(request.timing_cache, options.timing_cache)
    except OSError as exc:
        raise RepositoryError(
            f"cannot write {entry.version_path(origin.version)}: {exc.strerror or exc}", code="cannot_write"
        ) from exc
    return WrittenPlan(entry.version_path(origin.version), built, parity["max_abs_diff"], unkept)


def _check_profiles(entry: RepositoryEntry, batch_sizes: tuple[int, ...]) -> None:
    """All plans of an entry share its config.pbtxt, which names their profiles and stays as it is."""
    for version in entry.versions():
        have = tuple((entry.manifest(version).get("plan") or {}).get("batch_sizes", ()))
        if have != batch_sizes:
            raise RepositoryError(
                f"{entry.name} has a version with profiles for batches of {', '.join(map(str, have))}, "
                f"and its config.pbtxt with them: not for {', '.join(map(str, batch_sizes))}",
                code="shapes_differ",
                hint="give the plan another --name, or remove that entry first",
            )


def _keep_timings(measured: Path, wanted: Path | None) -> str | None:
    """Move them to where they are wanted; why that failed, since the plan is there and good without them."""
    if wanted is None or not measured.is_file():
        return None
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(measured, wanted)
    except OSError as exc:
        return f"{wanted}: {exc.strerror or exc}"
    return None


def _read_source(folder: Path, version: int | None) -> _SourceVersion:
    folder = folder.resolve()
    entry = RepositoryEntry(folder.parent, check_name(folder.name))
    version = version or max(entry.versions(), default=0)
    (checked,) = check_entry(folder, version=version)
    if checked.plan is not None:
        raise RepositoryError(
            f"{folder} is a TensorRT plan already", code="not_a_graph", hint="give the ONNX entry that it came from"
        )
    manifest = entry.manifest(version)
    labels = parse_labels(entry.labels_path.read_bytes(), name=manifest["labels"]["name"])
    return _SourceVersion(entry, version, manifest, labels)


def _start_request(stage: Path, source: _SourceVersion, options: PlanOptions) -> BuildRequest:
    """What the builder gets: a folder that a container can be given, with the timings known so far."""
    folder = stage / "build"
    folder.mkdir()
    cache = folder / "timing.cache"
    if options.timing_cache is not None and options.timing_cache.is_file():
        shutil.copyfile(options.timing_cache, cache)
    return BuildRequest(
        graph=folder / "typed.onnx",
        plan=folder / PLAN_NAME,
        timing_cache=cache,
        contract=source.contract,
        batch_sizes=options.batch_sizes,
    )


def _type_graph(
    request: BuildRequest, source: _SourceVersion, options: PlanOptions, *, gate: ParityGate, report: OnProgress
) -> dict[str, Any]:
    """Write the graph that declares the precision wanted; returns how far it is from the trained one."""
    if options.precision == "float32":
        shutil.copyfile(source.graph, request.graph)
        parity: dict[str, Any] = source.manifest["precisions"]["float32"]["parity"]
        return parity
    report("typing the graph to float16", 0, 1)
    span = source.float16
    if span is None:
        raise GraphError(
            f"graphs of the family {source.manifest['family']} are not typed to float16",
            code="cannot_convert",
            hint="--precision float32",
        )
    convert_to_float16(source.graph, request.graph, contract=request.contract, span=span)
    return asdict(check_twin(source.graph, request.graph, contract=request.contract, gate=gate, on_progress=report))


def _fill(
    target: RepositoryEntry,
    source: _SourceVersion,
    options: PlanOptions,
    *,
    request: BuildRequest,
    built: BuildEnvironment,
    parity: dict[str, Any],
) -> None:
    """The whole entry around the plan."""
    folder = target.version_path(source.version)
    folder.mkdir(parents=True)
    plan = folder / PLAN_NAME
    request.plan.rename(plan)
    # A container may have made it readable for its own user alone; a server has another.
    plan.chmod(0o644)
    manifest = {
        **source.manifest,
        "name": target.name,
        "precisions": {options.precision: {"file": PLAN_NAME, "parity": parity}},
        "files": {PLAN_NAME: sha256_of(plan)},
        "plan": {**asdict(built), "batch_sizes": list(options.batch_sizes)},
        "provenance": {
            **source.manifest["provenance"],
            "built_from": {
                "name": source.entry.name,
                "sha256": source.manifest["files"][GRAPH_NAME],
            },
        },
    }
    (folder / MANIFEST_NAME).write_bytes(to_bytes(manifest))
    shutil.copyfile(source.entry.labels_path, target.labels_path)
    config = render_plan_config(target.name, request.contract, options.batch_sizes)
    target.config_path.write_text(config)
