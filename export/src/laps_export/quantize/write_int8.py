"""One more graph in a version that is there: int8, held to float32 on real views before anybody sees it.

The version's folder is built anew beside the repository and exchanged with the old one in a single step, so that a
server that starts meanwhile finds the one or the other, and one that runs keeps the files that it has open.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from laps_export.errors import DataError, ParityError, RepositoryError
from laps_export.graph.tensor_contract import TensorContract, check_onnx
from laps_export.progress import OnProgress, ignore
from laps_export.quantize.engine_parity import Scores, compare
from laps_export.quantize.graph_runners import GRAPH_RUNNERS, Logits, run_views
from laps_export.quantize.instruction_set import int8_instruction_set
from laps_export.quantize.layer_choice import GROUPS, LayerChoice, choose_layers, near_enough
from laps_export.quantize.parity_limits import labels_needed
from laps_export.quantize.quantized_graph import layer_groups, quantize, read_graph
from laps_export.quantize.view_file import Views, ViewSets
from laps_export.quantize.view_scores import ViewScoring
from laps_export.repository.entry import GRAPH_NAME, MANIFEST_NAME, RepositoryEntry, check_name, sha256_of
from laps_export.repository.manifest import (
    AddedPrecision,
    EngineName,
    EngineParity,
    read_contract,
    to_bytes,
    with_precision,
)
from laps_export.repository.publish import publish, staging

INT8 = "int8"
INT8_GRAPH_NAME = "model.int8.onnx"

_BATCH = 4
_ROUNDS = 3
"""How often NNCF may be run again with one more group left out, where its graph is worse than was guessed."""


@dataclass(frozen=True, kw_only=True)
class QuantizedVersion:
    """What came out.

    Attributes:
        path: the version's folder.
        records: how each engine fared.
        layer_groups, left_out: of how many groups of layers how many stay in float32; none of a graph that was there.
        published: whether the version has it now.
    """

    path: Path
    records: tuple[EngineParity, ...]
    layer_groups: int
    left_out: int
    published: bool


@dataclass(frozen=True)
class TrainedVersion:
    """The version of an entry that is to have int8, read and checked."""

    entry: RepositoryEntry
    version: int
    manifest: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Of the version."""
        return self.entry.version_path(self.version)

    @property
    def graph(self) -> Path:
        """The float32 graph."""
        return self.folder / GRAPH_NAME

    @property
    def contract(self) -> TensorContract:
        """Of all its graphs."""
        return read_contract(self.manifest)

    @property
    def batch(self) -> int:
        """Views that are run at once."""
        return min(_BATCH, self.manifest.get("max_batch") or _BATCH)


def read_trained(repository: Path, name: str, version: int | None) -> TrainedVersion:
    """Find a version that can be quantised.

    Raises:
        RepositoryError: `no_such_entry`, `damaged_entry`, `hash_differs`, `not_a_graph`, or `untrained`.
    """
    entry = RepositoryEntry(repository.resolve(), check_name(name))
    present = entry.versions()
    if not present or (version is not None and version not in present):
        wanted = "any version" if version is None else f"version {version}"
        raise RepositoryError(f"{entry.path} does not hold {wanted}", code="no_such_entry")
    chosen = version or present[-1]
    manifest = entry.manifest(chosen)
    trained = TrainedVersion(entry, chosen, manifest)
    try:
        digest, untrained, plan = manifest["files"].get(GRAPH_NAME), manifest["untrained"], manifest.get("plan")
        read_contract(manifest)
        ViewScoring.of(manifest)
    except (KeyError, IndexError, TypeError, AttributeError) as exc:
        raise RepositoryError(f"the manifest of {name} version {chosen} lacks {exc}", code="damaged_entry") from exc
    if plan is not None:
        raise RepositoryError(f"{name} is a TensorRT plan", code="not_a_graph", hint="give the entry it was built from")
    if untrained:
        raise RepositoryError(
            f"{name} version {chosen} is untrained: its weights are random",
            code="untrained",
            hint="scores that mean nothing cannot be held to anything",
        )
    if not trained.graph.is_file() or sha256_of(trained.graph) != digest:
        raise RepositoryError(
            f"{trained.graph} is not the file that was exported (its hash differs)",
            code="hash_differs",
            hint="export the model again",
        )
    return trained


def write_int8(
    trained: TrainedVersion, views: ViewSets, *, keep: bool = False, on_progress: OnProgress | None = None
) -> QuantizedVersion:
    """Quantise, choose the layers that stay in float32, hold the rest to float32, and publish.

    Args:
        trained: from `read_trained`.
        views: of the user's videos.
        keep: publish it though it holds on no engine; a server then takes it only where it is told to.
        on_progress: called at every step.

    Raises:
        ConfigError: `no_int8`.
        DataError: `too_few_labels`.
        RepositoryError: `version_changed` or `cannot_write`.
        GraphError, ParityError: the graph cannot be quantised, or not run.
    """
    report = on_progress or ignore
    instruction_set = int8_instruction_set()
    with tempfile.TemporaryDirectory(prefix="laps-quantize-") as folder:
        work = Path(folder)
        gate = _Gate.of(trained, views.gate, report=report)
        proto, choice, left_out = _quantized(trained, views, work, report=report)
        graph = work / INT8_GRAPH_NAME
        onnx.save_model(proto, graph)
        check_onnx(graph, trained.contract)
        records, difference = gate.measure(graph, instruction_set, report=report)
        published = keep or any(record.holds for record in records)
        if published:
            _publish(trained, graph, records, difference)
    return QuantizedVersion(
        path=trained.folder,
        records=records,
        layer_groups=len(choice.order),
        left_out=left_out,
        published=published,
    )


def measure_int8(trained: TrainedVersion, views: Views, *, on_progress: OnProgress | None = None) -> QuantizedVersion:
    """Hold the int8 graph that is there to float32 on this machine too, and add what was found to the manifest.

    Raises:
        RepositoryError: `no_int8_graph`, and as `write_int8`.
    """
    report = on_progress or ignore
    instruction_set = int8_instruction_set()
    graph = trained.folder / INT8_GRAPH_NAME
    entry = trained.manifest["precisions"].get(INT8)
    if entry is None or not graph.is_file() or sha256_of(graph) != trained.manifest["files"].get(INT8_GRAPH_NAME):
        raise RepositoryError(
            f"{trained.folder} has no int8 graph", code="no_int8_graph", hint="leave --measure out, and one is made"
        )
    records, difference = _Gate.of(trained, views, report=report).measure(graph, instruction_set, report=report)
    _publish(trained, graph, records, max(difference, entry["parity"]["max_abs_diff"]), beside=entry["engines"])
    return QuantizedVersion(path=trained.folder, records=records, layer_groups=0, left_out=0, published=True)


@dataclass(frozen=True)
class _Gate:
    """Views with what the float32 graph answers to them."""

    trained: TrainedVersion
    views: Views
    logits: Logits
    scores: Scores

    @classmethod
    def of(cls, trained: TrainedVersion, views: Views, *, report: OnProgress) -> _Gate:
        """Run float32, on the engine that is the fastest with it; engines differ by less than a 1000th there."""
        run = next(iter(GRAPH_RUNNERS.values()))(trained.graph)
        total = len(views)
        logits = run_views(
            run, views, batch=trained.batch, on_views=lambda done: report("answering in float32", done, total)
        )
        scores = ViewScoring.of(trained.manifest).scores(logits)
        labels, needed = len(np.unique(scores.argmax(axis=1))), labels_needed(scores.shape[1])
        if labels < needed:
            raise DataError(
                f"the views show {labels} different labels, {needed} are needed",
                code="too_few_labels",
                hint="give a folder of videos that differ more",
            )
        return cls(trained, views, logits, scores)

    def measure(
        self, graph: Path, instruction_set: str, *, report: OnProgress
    ) -> tuple[tuple[EngineParity, ...], float]:
        """How each engine fares with a graph, and the largest difference of a logit."""
        records, worst = [], 0.0
        for engine in GRAPH_RUNNERS:
            record, difference = self._measure_on(engine, graph, instruction_set, report=report)
            records.append(record)
            worst = max(worst, difference)
        return tuple(records), worst

    def _measure_on(
        self, engine: EngineName, graph: Path, instruction_set: str, *, report: OnProgress
    ) -> tuple[EngineParity, float]:
        what, total = f"checking on {engine}", len(self.views)
        run = GRAPH_RUNNERS[engine](graph)
        logits = run_views(run, self.views, batch=self.trained.batch, on_views=lambda done: report(what, done, total))
        if not np.isfinite(logits).all():
            raise ParityError(f"the int8 graph answers with NaN or infinity on {engine}", code="parity_not_finite")
        scores = ViewScoring.of(self.trained.manifest).scores(logits)
        record = compare(self.scores, scores, engine=engine, instruction_set=instruction_set)
        return record, float(np.abs(logits - self.logits).max())


def _quantized(
    trained: TrainedVersion, views: ViewSets, work: Path, *, report: OnProgress
) -> tuple[ModelProto, LayerChoice, int]:
    """The graph in int8 and how many groups of its layers are not: what the tuning views say is best."""
    source = read_graph(trained.graph)
    engine, open_graph = next(iter(GRAPH_RUNNERS.items()))
    scoring = ViewScoring.of(trained.manifest)
    trial = work / "trial.onnx"

    def scores_of(graph: Path, count: int | None) -> Scores:
        return scoring.scores(run_views(open_graph(graph), views.tuning[:count], batch=trained.batch))

    def measure(proto: ModelProto, count: int | None = None) -> EngineParity:
        onnx.save_model(proto, trial)
        return compare(reference[:count], scores_of(trial, count), engine=engine, instruction_set=INT8)

    reference = scores_of(trained.graph, None)
    groups = layer_groups(source, GROUPS)
    report("quantising all layers", 0, 1)
    proto = quantize(source, views.calibration)
    choice = choose_layers(proto, source, groups, measure, on_progress=report)
    left_out = choice.left_out
    for again in range(_ROUNDS if left_out else 0):
        report(f"quantising all but {left_out} of {len(groups)} groups", again, _ROUNDS)
        proto = quantize(source, views.calibration, in_float=choice.in_float(left_out))
        if near_enough(measure(proto)) or again + 1 == _ROUNDS or left_out == choice.most:
            break
        left_out += 1
    return proto, choice, left_out


def _publish(
    trained: TrainedVersion,
    graph: Path,
    records: Sequence[EngineParity],
    difference: float,
    *,
    beside: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Exchange the version's folder with one that has the graph too.

    Args:
        trained: the version.
        graph: the int8 file.
        records: how engines fared here.
        difference: the largest one of a logit.
        beside: records of other machines, which stay.
    """
    measured = {(record.engine, record.instruction_set) for record in records}
    kept = [
        EngineParity(**record) for record in beside if (record["engine"], record["instruction_set"]) not in measured
    ]
    added = AddedPrecision(
        name=INT8,
        file=INT8_GRAPH_NAME,
        sha256=sha256_of(graph),
        max_abs_diff=difference,
        batch_sizes=(trained.batch,),
        engines=[*kept, *records],
    )

    def check() -> None:
        if trained.entry.manifest(trained.version) != trained.manifest:
            raise RepositoryError(
                f"{trained.folder} was written by somebody else meanwhile", code="version_changed", hint="try again"
            )

    try:
        with staging(trained.entry.repository) as stage:
            built = RepositoryEntry(stage, trained.entry.name)
            folder = built.version_path(trained.version)
            shutil.copytree(trained.folder, folder, copy_function=_link)
            target = folder / INT8_GRAPH_NAME
            target.unlink(missing_ok=True)
            shutil.copyfile(graph, target)
            manifest = folder / MANIFEST_NAME
            manifest.unlink()
            manifest.write_bytes(to_bytes(with_precision(trained.manifest, added)))
            publish(built, trained.entry, trained.version, check=check)
    except OSError as exc:
        raise RepositoryError(f"cannot write {trained.folder}: {exc.strerror or exc}", code="cannot_write") from exc


def _link(source: str, target: str) -> None:
    """The same file under another name, which takes no space; a copy where the filesystem has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
