"""`laps-export verify`: is what lies in a repository still what was exported?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laps_export.repository.check_entry import check_entry


def verify(
    model_dir: Annotated[Path, typer.Argument(help="<repository>/<name>.")],
    version: Annotated[int | None, typer.Option(help="Only this version.")] = None,
) -> None:
    """Check hashes, labels, tensor contract and a short run of what lies in a repository."""
    for checked in check_entry(model_dir, version=version):
        note = ", untrained" if checked.untrained else ""
        note += "" if checked.plan is None else f", {checked.plan}, not run here"
        typer.echo(f"{model_dir.name} version {checked.version}: ok ({checked.variant}{note})")
