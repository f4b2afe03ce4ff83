"""`laps-export photographs`: which pictures training, or a fair evaluation, may use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laps_export.data.sources import DEBIAN_ROOT
from laps_export.errors import DataError


def photographs(
    split: Annotated[str, typer.Option(help="train, val or test.")],
    debian_root: Annotated[Path, typer.Option(help="Where Debian's packages lie.")] = DEBIAN_ROOT,
) -> None:
    """Print the paths of one split's photographs, one a line: what an evaluation may use is `test`."""
    from laps_export.data.photographs import Split, find_photographs  # noqa: PLC0415

    if split not in list(Split):
        raise DataError(f"no split {split!r}", code="unknown_split", hint=f"one of {', '.join(Split)}")
    for photo in find_photographs(debian_root=debian_root).of(Split(split)):
        typer.echo(photo.path)
