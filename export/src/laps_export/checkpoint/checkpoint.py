"""A weight file that was read: its weights under the model's own names, and what else it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from torch import Tensor

from laps_export.families.family import Family, ModelConfig


class WeightFile(StrEnum):
    """Which of the three forms a file has; the names are the manifest's."""

    AUTHORS = "authors"
    PRETRAINED = "pretrained"
    OURS = "laps-export"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A weight file that was read, not yet compared with a model.

    Attributes:
        path: the file.
        sha256: its hash, for provenance.
        form: which form it has.
        family: whose names the weights have.
        key: under which a torch file has the weights.
        state: unprefixed names to tensors; without a head if `form` is pretrained.
        head: what a pretrained file has as its head, which is no part of `state`.
        dropped: names that were in the file and are left out on purpose.
        remarks: what was done to its names, each as the end of a sentence that begins with the file's name.
        epoch: the training epoch, where the file says it.
        best_acc1: the best validation top-1 in percent, where the file says it.
        variant: the model's name, in our own form.
        config: the model's numbers, in our own form.
        notes: free-form provenance, in our own form.
    """

    path: Path
    sha256: str
    form: WeightFile
    family: Family
    key: str = ""
    state: Mapping[str, Tensor]
    head: Mapping[str, Tensor] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    epoch: int | None = None
    best_acc1: float | None = None
    variant: str | None = None
    config: ModelConfig | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_head(self) -> bool:
        """False for a backbone."""
        return all(key in self.state for key in self.family.names.head)

    @property
    def own_classes(self) -> int | None:
        """Of the head in the file, be it part of `state` or not; None where it has none."""
        weight = {**self.state, **self.head}.get(self.family.names.head[0])
        return weight.shape[0] if weight is not None and weight.dim() else None

    def with_own_head(self, *, classes: int | None) -> Checkpoint:
        """A pretrained file as a whole trained model, if its head has so many classes; any other as it is."""
        if self.form is not WeightFile.PRETRAINED or classes is None or self.own_classes != classes:
            return self
        return replace(
            self,
            form=WeightFile.AUTHORS,
            state={**self.state, **self.head},
            head={},
            dropped=tuple(key for key in self.dropped if key not in self.head),
            remarks=(
                *self.remarks,
                f"took what is under {self.key!r} for a trained model with a head of {classes} classes",
            ),
        )
