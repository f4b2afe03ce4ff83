"""`laps-export convert`: a checkpoint to safetensors of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laps_export.checkpoint.loading import load_weights
from laps_export.checkpoint.reading import read_checkpoint
from laps_export.checkpoint.safetensors_file import save_checkpoint
from laps_export.cli.weights import report_changes
from laps_export.errors import CheckpointError, RepositoryError
from laps_export.families import registry


def convert(
    *,
    checkpoint: Annotated[Path, typer.Argument(help="The authors' file, or a backbone of theirs.")],
    output: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    variant: Annotated[str, typer.Option(help="Name from `laps-export variants`.")],
    force: Annotated[bool, typer.Option(help="Replace the output if it is there.")] = False,
) -> None:
    """Turn a checkpoint into safetensors that carry their configuration."""
    if output.exists() and not force:
        raise RepositoryError(f"{output} is there already", code="file_exists", hint="--force replaces it")
    read = read_checkpoint(checkpoint, family=registry.family_of(variant))
    read = read.with_own_head(classes=read.own_classes)
    if not read.has_head:
        raise CheckpointError(f"{checkpoint.name} has no head", code="no_head", hint="only whole models are converted")
    model = registry.build(variant, classes=read.own_classes)
    load_weights(model, read)
    report_changes(read)
    notes = {"epoch": read.epoch, "best_acc1": read.best_acc1, "converted_from": read.sha256}
    try:
        save_checkpoint(output, model, notes=notes)
    except OSError as exc:
        raise RepositoryError(f"cannot write {output}: {exc.strerror or exc}", code="cannot_write") from exc
    typer.echo(f"{output}: {variant}, {model.config.classes} classes")
