"""The parity gate: an exported graph is only worth having if it computes what torch computes.

Every batch size is tried on noise and on photographs. Logits must agree within a tolerance, which must be small
beside what tells one frame from another, and where the reference separates two classes by more than a gap, the
graph must rank them the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from laps_export.errors import GraphError, ParityError
from laps_export.families.family import VideoModel
from laps_export.graph.moving_clips import PHOTOGRAPHS, Frames, moving_clip
from laps_export.graph.onnx_export import ExportModule
from laps_export.graph.tensor_contract import INPUT_NAME, OUTPUT_NAME, TensorContract
from laps_export.onnx_runtime import ort
from laps_export.progress import OnProgress, ignore

Logits = NDArray[np.float32]

TOP = 5


@dataclass(frozen=True, kw_only=True)
class ParityGate:
    """What a graph must reach.

    Attributes:
        tolerance: largest allowed absolute difference of a frame logit.
        relative: largest allowed difference as a share of the reference's spread. Float32 graphs reach 2e-6;
            the graph of another network differs by several times the spread, however small its logits are.
        gap: two of the top classes further apart than this must keep their order.
        batch_sizes: batches tried, each on noise and on photographs.
        seed: of noise and of the crops' motion.
    """

    tolerance: float = 1e-3
    relative: float = 1e-2
    gap: float = 2e-3
    batch_sizes: tuple[int, ...] = (1, 3, 16)
    seed: int = 0

    def up_to(self, max_batch: int) -> ParityGate:
        """The same demands at no larger batches."""
        return replace(self, batch_sizes=tuple(sorted({min(size, max_batch) for size in self.batch_sizes})))


FLOAT32_GATE = ParityGate()

FLOAT16_GATE = ParityGate(tolerance=0.1, relative=0.02, gap=0.05, batch_sizes=(1, 3))
"""Float16 rounds each step to a 2000th: the camera-motion models stray by 0.002 to 0.006 of their spread."""

_MIN_CLIPS = 2  # clips that differ, so that there is a spread
_MIN_SPREAD = 1e-5
"""As a share of the largest logit; below it, what tells frames apart drowns in float32's rounding."""


@dataclass(frozen=True)
class ParityReport:
    """What a graph did reach."""

    max_abs_diff: float
    tolerance: float
    batch_sizes: tuple[int, ...]


def check_parity(
    model: VideoModel, path: Path, *, gate: ParityGate = FLOAT32_GATE, on_progress: OnProgress | None = None
) -> ParityReport:
    """Compare an ONNX file with the torch model it came from.

    Torch computes every clip alone, ONNX Runtime in batches: a graph that mixes the clips of a batch fails.

    Args:
        model: the reference; its network is evaluated, the mode restored.
        path: the ONNX file.
        gate: what must be reached, at no larger batches than the model's.
        on_progress: called after every step.

    Raises:
        ParityError: `parity_not_finite`, `parity_constant`, `parity_logits`, `parity_relative`, `parity_order` or
            `parity_embedding`, with the figures.
        GraphError: `graph_does_not_run`.
    """
    reference = _Reference("torch", lambda clips: _torch_answer(model, clips))
    within = gate.up_to(model.max_batch)
    return _check(reference, path, contract=TensorContract.of(model), gate=within, on_progress=on_progress)


def check_twin(
    source: Path, path: Path, *, contract: TensorContract, gate: ParityGate, on_progress: OnProgress | None = None
) -> ParityReport:
    """Compare an ONNX file with another that it was made from, both on ONNX Runtime.

    Args:
        source: the reference.
        path: what was made from it.
        contract: what both declare.
        gate: what must be reached.
        on_progress: called after every step.

    Raises:
        ParityError, GraphError: as `check_parity`.
    """
    session = open_session(source)
    reference = _Reference(source.name, lambda clips: run_outputs(session, clips, contract.outputs))
    return _check(reference, path, contract=contract, gate=gate, on_progress=on_progress)


@dataclass(frozen=True)
class _Reference:
    """What is right: a name for progress, and clips `[1, T, H, W, 3]` to logits and what else the graph gives."""

    name: str
    run: Callable[[Frames], tuple[Logits, ...]]


def _check(
    reference: _Reference, path: Path, *, contract: TensorContract, gate: ParityGate, on_progress: OnProgress | None
) -> ParityReport:
    count = max(_MIN_CLIPS, *gate.batch_sizes)
    total = 2 * (count + sum(gate.batch_sizes))
    done = 0
    report = on_progress or ignore

    def advance(what: str, clips: int) -> None:
        nonlocal done
        done += clips
        report(what, done, total)

    session = open_session(path)
    inputs = _inputs(contract, count, gate.seed)
    references: dict[str, tuple[Logits, ...]] = {}
    for kind, clips in inputs.items():
        answers = []
        for clip in clips:
            answers.append(reference.run(clip[None]))
            advance(f"{reference.name}, {kind}", 1)
        references[kind] = tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))
    spreads = [spread_of(np.concatenate(parts)) for parts in zip(*references.values(), strict=True)]
    worst = 0.0
    for kind, expected in references.items():
        for batch in gate.batch_sizes:
            computed = run_outputs(session, inputs[kind][:batch], contract.outputs)
            what = f"{kind}, batch {batch}"
            logits, *vectors = (
                (want[:batch], have, spread) for want, have, spread in zip(expected, computed, spreads, strict=True)
            )
            worst = max(worst, compare(*logits[:2], gate=gate, spread=logits[2], what=what))
            for vector in vectors:
                _compare_vectors(*vector, gate=gate, what=what)
            advance(f"ONNX Runtime, {kind}, batch {batch}", batch)
    return ParityReport(max_abs_diff=worst, tolerance=gate.tolerance, batch_sizes=gate.batch_sizes)


def spread_of(reference: Logits) -> float:
    """How far a class's logit strays from its own mean over all frames: root mean square over the classes.

    Raises:
        ParityError: `parity_not_finite`, or `parity_constant` for a model that answers every frame alike.
    """
    if not np.isfinite(reference).all():
        raise ParityError("the model's own logits hold NaN or infinity", code="parity_not_finite")
    frames = reference.reshape(-1, reference.shape[-1]).astype(np.float64)  # [B * T, K]
    spread = float(np.sqrt(frames.var(axis=0).mean()))
    if spread <= _MIN_SPREAD * float(np.abs(frames).max()):
        raise ParityError(
            f"the model answers every frame alike: its logits stray by {spread:.3g}",
            code="parity_constant",
            hint="no comparison can tell its graph from another's; look whether the head's weights are zero",
        )
    return spread


def compare(expected: Logits, computed: Logits, *, gate: ParityGate, spread: float, what: str) -> float:
    """Largest absolute difference of two `[B, S, K]` or `[B, K]` logits.

    Args:
        expected: the reference's.
        computed: the graph's.
        gate: what must be reached.
        spread: `spread_of` all the reference's logits, not only these.
        what: names the comparison in an error.

    Raises:
        ParityError: they differ by more than the gate allows.
    """
    if expected.shape != computed.shape:
        raise ParityError(f"{what}: logits have shape {computed.shape}, not {expected.shape}", code="parity_shape")
    if not (np.isfinite(expected).all() and np.isfinite(computed).all()):
        raise ParityError(f"{what}: logits hold NaN or infinity", code="parity_not_finite")
    worst = float(np.abs(expected - computed).max())
    if worst > gate.tolerance:
        raise ParityError(f"{what}: logits differ by {worst:.3g}, allowed are {gate.tolerance:g}", code="parity_logits")
    if worst > gate.relative * spread:
        raise ParityError(
            f"{what}: logits differ by {worst:.3g}, which is {worst / spread:.2g} of their spread {spread:.3g},"
            f" allowed is {gate.relative:g}",
            code="parity_relative",
            hint="the graph does not compute this model, though its logits are small enough to hide it",
        )
    pairs = {"clip": (expected, computed)}
    if expected.ndim == 3:
        # Time is an axis: a server ranks by the mean over it, and shows its rows.
        pairs = {"clip": (expected.mean(1), computed.mean(1)), "frame": (expected, computed)}
    for level, (want, have) in pairs.items():
        swapped = count_swaps(want, have, gap=gate.gap)
        if swapped:
            raise ParityError(
                f"{what}: {swapped} pairs of top classes change order in the {level} logits"
                f" though they are more than {gate.gap:g} apart",
                code="parity_order",
            )
    return worst


def _compare_vectors(expected: Logits, computed: Logits, spread: float, *, gate: ParityGate, what: str) -> None:
    """Embeddings have no order to keep: they must differ by little beside what tells one clip's from another's."""
    worst = float(np.abs(expected - computed).max())
    if not worst <= gate.relative * spread:
        raise ParityError(
            f"{what}: embeddings differ by {worst:.3g}, which is {worst / spread:.2g} of their spread {spread:.3g},"
            f" allowed is {gate.relative:g}",
            code="parity_embedding",
        )


def count_swaps(expected: Logits, computed: Logits, *, gap: float) -> int:
    """Pairs of classes ranked otherwise, among those that the reference's top classes lead by a gap.

    Args:
        expected: `[..., K]`.
        computed: `[..., K]`.
        gap: smaller leads do not count.
    """
    top = np.argsort(-expected, axis=-1)[..., : min(TOP, expected.shape[-1])]  # [..., top]
    want = np.take_along_axis(expected, top, axis=-1)[..., None] - expected[..., None, :]  # [..., top, K]
    have = np.take_along_axis(computed, top, axis=-1)[..., None] - computed[..., None, :]
    return int(((want > gap) & (have <= 0)).sum())


def open_session(path: Path) -> ort.InferenceSession:
    """The graph on ONNX Runtime's CPU provider.

    Raises:
        GraphError: `graph_does_not_run`.
    """
    try:
        return ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's exception types share no public base
        raise GraphError(f"{path.name} does not load in ONNX Runtime: {exc}", code="graph_does_not_run") from exc


def run_graph(session: ort.InferenceSession, clips: Frames) -> Logits:
    """uint8 `[B, T, H, W, 3]` to float32 `[B, S, K]` or `[B, K]`.

    Raises:
        GraphError: `graph_does_not_run`.
    """
    return run_outputs(session, clips, (OUTPUT_NAME,))[0]


def run_outputs(
    session: ort.InferenceSession, clips: Frames, outputs: Iterable[str]
) -> tuple[NDArray[np.float32], ...]:
    """Outputs by name, each with the batch in front.

    Raises:
        GraphError: `graph_does_not_run`.
    """
    try:
        return tuple(session.run(list(outputs), {INPUT_NAME: clips}))
    except Exception as exc:  # ONNX Runtime's exception types share no public base
        raise GraphError(f"the graph fails on {clips.shape}: {exc}", code="graph_does_not_run") from exc


def _torch_answer(model: VideoModel, clips: Frames) -> tuple[Logits, ...]:
    training = model.network.training
    with torch.inference_mode():
        answer = ExportModule(model.network, model.family.pixels).eval()(torch.from_numpy(clips))
    model.network.train(training)
    return tuple(part.numpy() for part in answer)


def _inputs(contract: TensorContract, count: int, seed: int) -> dict[str, Frames]:
    rng = np.random.default_rng(seed)
    return {
        "noise": rng.integers(0, 256, (count, *contract.clip_shape), dtype=np.uint8),
        "photographs": np.stack(
            [
                moving_clip(
                    PHOTOGRAPHS[i % len(PHOTOGRAPHS)], frames=contract.frames, size=contract.height, seed=seed + i
                )
                for i in range(count)
            ]
        ),
    }
