"""What a training run takes, with every default; apart from the run, which needs OpenCV and codecs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from laps_export.data.clip_settings import ClipSettings, StreamSettings
from laps_export.data.sources import DEBIAN_ROOT
from laps_export.errors import TrainingError
from laps_export.families import registry
from laps_export.repository.entry import DEFAULT_REPOSITORY


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How weights are learned.

    Attributes:
        steps: length of the run; None where `minutes` decides.
        minutes: length of the run; None where `steps` decides. One of the two must be given.
        peak_rate: highest learning rate.
        warmup: share of the run over which the rate rises.
        weight_decay: of matrices; norms, biases and positions have none.
        clip_norm: longest gradient.
        ema: decay of the averaged weights, which are what is kept.
        clip_weight: of the clip's loss beside the frames' loss.
        smoothing: of labels.
        evaluations: how often the validation set is scored.
        checkpoint_s: seconds between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    peak_rate: float = 6e-4
    warmup: float = 0.04
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema: float = 0.998
    clip_weight: float = 0.5
    smoothing: float = 0.0
    evaluations: int = 8
    checkpoint_s: float = 60.0

    def __post_init__(self) -> None:
        """Raise `TrainingError` unless exactly one length is given."""
        given = [value for value in (self.steps, self.minutes) if value is not None]
        if len(given) != 1 or given[0] <= 0:
            raise TrainingError(
                f"steps {self.steps}, minutes {self.minutes}",
                code="invalid_length",
                hint="give one of the two, above 0",
            )


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """All arguments of a run; two runs with the same recipe and steps see the same clips.

    Attributes:
        loop: how weights are learned.
        variant: name in a family's table.
        seed: of weights and clips.
        stride: frames of the video between two of a clip.
        batch: clips in a batch.
        uses: batches that each rendered clip stands in.
        easy_batches: over which the clips grow difficult.
        coded_share: of clips that go through a real codec.
        evaluation_clips: of the validation set on the way.
        final_clips: of the validation set at the end.
        waves: whether the first layers begin as cosines, where the family's networks can.
        workers: processes that make clips; part of the recipe, since blocks are dealt to them in turn.
        threads: of the training itself; None leaves torch's own.
        debian_root: where Debian's packages lie.
    """

    loop: LoopSettings
    variant: str = registry.training_variant()
    seed: int = 0
    stride: int = ClipSettings.stride
    batch: int = StreamSettings.batch
    uses: int = StreamSettings.uses
    easy_batches: int = 1200
    coded_share: float = ClipSettings.coded_share
    evaluation_clips: int = 500
    final_clips: int = 2000
    waves: bool = True
    workers: int = 1
    threads: int | None = None
    debian_root: Path = DEBIAN_ROOT

    def to_json(self) -> dict[str, Any]:
        """JSON-able, for provenance and for recognising a run again."""
        return {**asdict(self), "debian_root": str(self.debian_root)}


@dataclass(frozen=True, kw_only=True)
class EntrySettings:
    """How a trained model is written into a model_repository.

    Attributes:
        name: the entry's.
        repository: the model_repository folder.
        version: None takes the next free one.
        force: replace `version` if it is there.
        default_views: temporal x spatial views of a video.
        sampling: by the rule that never goes back in time: a clip that wraps runs motion backwards, which is another
            label.
    """

    name: str = "camera-motion"
    repository: Path = DEFAULT_REPOSITORY
    version: int | None = None
    force: bool = False
    default_views: str = "5x1"
    sampling: str = "uniform_in_order"
