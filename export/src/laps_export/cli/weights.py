"""What commands with weights have in common: which variant is meant, and what of a file was changed or left out."""

from __future__ import annotations

import typer

from laps_export.checkpoint.checkpoint import Checkpoint, WeightFile
from laps_export.checkpoint.loading import load_weights
from laps_export.errors import CheckpointError, ConfigError
from laps_export.families import registry
from laps_export.families.family import VideoModel
from laps_export.families.random_weights import randomise
from laps_export.repository.manifest import WeightOrigin


def variant_of(asked: str | None, checkpoint: Checkpoint | None) -> str:
    """The variant that was asked for, or the file's own.

    Raises:
        ConfigError: `unknown_variant`, neither says one.
    """
    if asked is not None:
        return asked
    if checkpoint is not None and checkpoint.variant is not None:
        return checkpoint.variant
    raise ConfigError(
        "no variant given",
        code="unknown_variant",
        hint=f"--variant, one of {', '.join(registry.all_variants())}; the authors' files do not say theirs",
    )


def fill(model: VideoModel, read: Checkpoint | None, *, random_weights: bool, seed: int) -> WeightOrigin:
    """Give the model its weights and say where they come from.

    Raises:
        CheckpointError: `two_weights`, or as `load_weights`.
        ConfigError: as `load_weights`.
    """
    if random_weights:
        if read is not None and read.form is not WeightFile.PRETRAINED:
            raise CheckpointError(
                f"both {read.path.name} and random weights",
                code="two_weights",
                hint="the two go together for a pretrained backbone only, which has no head",
            )
        randomise(model, seed=seed)
    if read is not None:
        read = read if random_weights else read.with_own_head(classes=model.config.classes)
        load_weights(model, read, keep_head=random_weights)
        report_changes(read)
    return WeightOrigin(
        checkpoint=read,
        untrained=random_weights,
        seed=seed if random_weights else None,
        metrics=read.notes.get("metrics", {}) if read else {},
        recipe=read.notes.get("recipe", {}) if read else {},
    )


def report_changes(read: Checkpoint) -> None:
    """Say on the error stream what of a file was not taken as it is."""
    if read.head:
        typer.echo(f"{read.path.name}: dropped {', '.join(read.head)} (pretrained backbone)", err=True)
    for remark in read.remarks:
        typer.echo(f"{read.path.name}: {remark}", err=True)
