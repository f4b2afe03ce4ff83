"""`laps-export quantize`: an int8 graph beside a model's float32 one, held to it on views of the user's videos."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from laps_export.cli.progress import progress_bar, reporter
from laps_export.errors import ConfigError, ParityError
from laps_export.quantize.parity_limits import MAX_MEAN_SHIFT, MAX_P99_SHIFT, MIN_AGREEMENT
from laps_export.quantize.view_file import DEFAULT_VIEWS, read_views, write_views
from laps_export.quantize.write_int8 import TrainedVersion, measure_int8, read_trained, write_int8
from laps_export.repository.entry import DEFAULT_REPOSITORY
from laps_export.repository.manifest import EngineParity

_PIPE_WIDTH = 120


def quantize(
    *,
    model: Annotated[str, typer.Option(help="The model's name in the repository.")],
    videos: Annotated[
        Path | None, typer.Option(help="Folder of videos like those that will be classified.", show_default=False)
    ] = None,
    views_file: Annotated[
        Path | None, typer.Option(help="Instead: what `laps-server views` wrote.", show_default=False)
    ] = None,
    views: Annotated[int, typer.Option(min=DEFAULT_VIEWS, help="To take of the videos.")] = DEFAULT_VIEWS,
    repository: Annotated[Path, typer.Option(help="The model_repository folder.")] = DEFAULT_REPOSITORY,
    version: Annotated[int | None, typer.Option(help="Of the model; its highest if left out.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Make no graph: check the one that is there on this machine too.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Publish it though it holds on no engine.")] = False,
) -> None:
    """Add an int8 graph to a version, calibrated on your videos, if it answers as float32 does."""
    if (videos is None) == (views_file is None):
        raise ConfigError("give one of --videos and --views-file", code="no_views")
    trained = read_trained(repository, model, version)
    with _views(trained, videos, views_file, views) as path, progress_bar() as progress:
        sets = read_views(path, trained.contract)
        report = reporter(progress, progress.add_task("int8", total=None))
        if measure:
            done = measure_int8(trained, sets.gate, on_progress=report)
        else:
            done = write_int8(trained, sets, keep=keep, on_progress=report)
    # As wide as it is where no terminal says how wide that may be.
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(_table(done.records))
    if not measure:
        typer.echo(f"{done.left_out} of {done.layer_groups} groups of layers stay in float32")
    if not done.published:
        raise ParityError(
            f"the int8 graph of {model} holds on no engine: nothing was published",
            code="parity_int8",
            hint=f"needed are agreement {MIN_AGREEMENT}, mean {MAX_MEAN_SHIFT} and 99th percentile {MAX_P99_SHIFT}; "
            "more or other videos may help; --keep publishes it for servers that are told to use it",
        )
    typer.echo(f"{done.path}: int8 added")


@contextmanager
def _views(trained: TrainedVersion, videos: Path | None, views_file: Path | None, count: int) -> Iterator[Path]:
    """The file of views: as given, or taken of the videos for as long as it is needed."""
    if views_file is not None:
        yield views_file
        return
    if videos is None:
        raise ConfigError("give one of --videos and --views-file", code="no_views")
    frames, height, width, channels = trained.contract.clip_shape
    with tempfile.TemporaryDirectory(prefix="laps-views-") as folder:
        path = Path(folder) / "views.npy"
        write_views(
            videos,
            path,
            model=trained.entry.name,
            version=trained.version,
            repository=trained.entry.repository,
            count=count,
            size=frames * height * width * channels,
        )
        yield path


def _table(records: Iterable[EngineParity]) -> Table:
    table = Table()
    for name in ("engine", "on", "views", "labels", "agreement", "mean |Δ|", "99 %", "holds"):
        table.add_column(name)
    for record in records:
        table.add_row(
            record.engine,
            record.instruction_set,
            str(record.views),
            str(record.labels),
            f"{record.agreement:.4f}",
            f"{record.mean_shift:.4f}",
            f"{record.p99_shift:.4f}",
            "yes" if record.holds else "no",
        )
    return table
