"""`laps-export variants`: what there is, and what it costs."""

from __future__ import annotations

from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from laps_export.cli.progress import progress_bar
from laps_export.families import registry
from laps_export.families.family import PosterFigures
from laps_export.graph.complexity import measure


def variants(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; all where none is named.")] = None,
) -> None:
    """Print every variant with its cost, counted in its graph, beside what the LAPS poster says of it."""
    own_columns = [header for family in registry.FAMILIES.values() for header, _ in family.columns]
    table = Table(title="Cost of one view with 400 classes")
    for column in ("variant", "frames x res", *own_columns):
        table.add_column(column, no_wrap=True)
    for column in ("GMACs", "(poster)", "params (M)", "(poster)", "K400 top-1 (authors)"):
        table.add_column(column, justify="right")
    rows: list[tuple[str, ...]] = []
    with progress_bar() as progress:
        chosen = names or list(registry.all_variants())
        task = progress.add_task("counting", total=len(chosen))
        for name in chosen:
            progress.update(task, description=f"counting {name}")
            rows.append(_row(name, own_columns))
            progress.advance(task)
    out = Console()
    if not out.is_terminal:
        # For programs: one variant a line, columns apart by tabs, nothing cut to a width.
        header = [str(column.header) for column in table.columns]
        for cells in (header, *rows):
            typer.echo("\t".join(cells))
        return
    for cells in rows:
        table.add_row(*cells)
    out.print(table)


def _row(name: str, own_columns: list[str]) -> tuple[str, ...]:
    """The cells of one variant; a dash in the columns of other families."""
    with torch.device("meta"):  # shapes are enough: the larger networks would take gigabytes
        model = registry.build(name)
    config, cost = model.config, measure(model)
    own = {header: show(config) for header, show in model.family.columns}
    row = model.family.variants[name]
    return (
        name,
        f"{config.frames} x {config.resolution}",
        *(own.get(header, "-") for header in own_columns),
        f"{cost.gmacs:.3f}",
        _poster_gmacs(name, row.poster),
        f"{cost.parameters_m:.3f}",
        _figure(None if row.poster is None else row.poster.parameters_m, "g"),
        _figure(row.reported_top1, ".2f"),
    )


def _poster_gmacs(name: str, poster: PosterFigures | None) -> str:
    """The figure, and whose it is too where it is not this variant's alone."""
    if poster is None:
        return "-"
    others = [other for other in poster.gmacs_of if other != name]
    return " + ".join([f"{poster.gmacs:g} with {others[0]}", *others[1:]]) if others else f"{poster.gmacs:g}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
