"""``laps models``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from laps_client._results import ModelInfo, ModelSummary
from laps_client.cli import exit_status
from laps_client.cli.connection import Connection, required
from laps_client.cli.model_facts import UNKNOWN, model_facts
from laps_client.cli.result_rows import tabbed
from laps_client.cli.results_writer import emit
from laps_client.cli.terminal_text import printable

_COLUMNS = ("name", "versions", "family", "labels", "views", "GMACs a view", "GMACs a video", "")


async def list_models(connection: Connection, *, as_json: bool, terminal: bool) -> int:
    """Show the served models."""
    async with connection.client() as client:
        models = await required(client.models())
    if as_json:
        emit(json.dumps(models.to_dict(), indent=2) + "\n")
    else:
        _show(_COLUMNS, [_summary(model) for model in models], terminal=terminal)
    return exit_status.OK


async def show_model(
    connection: Connection, name: str, version: int | None, *, as_json: bool, labels: bool, terminal: bool
) -> int:
    """Show one model in full, or its labels in the order of their indices."""
    async with connection.client() as client:
        model = await required(client.model(name, version=version))
    if labels:
        emit("".join(f"{printable(label)}\n" for label in model.label_names))
    elif as_json:
        emit(json.dumps(model.to_dict(), indent=2) + "\n")
    else:
        _show(("", ""), _details(model), terminal=terminal)
    return exit_status.OK


def _summary(model: ModelSummary) -> tuple[str, ...]:
    notes = [*(["default"] if model.default else []), *(["untrained"] if model.untrained else [])]
    versions = ",".join(map(str, model.versions))
    labels = f"{model.labels} ({model.label_count})"
    family, *views_and_costs = model_facts(model).values()
    return (model.name, versions, family, labels, *views_and_costs, ",".join(notes))


def _details(model: ModelInfo) -> list[tuple[str, ...]]:
    clip = model.input
    rows = [
        ("name", model.name),
        ("version", str(model.version)),
        *model_facts(model).items(),
        ("parameters", UNKNOWN if model.cost is None else f"{model.cost.parameters_m:.2f} million"),
        ("labels", f"{model.labels} ({model.label_count})"),
        ("clip", f"{clip.frames} frames, {clip.stride} apart, {clip.height}x{clip.width}"),
        ("output", f"{model.output}, {model.activation}, temperature {model.temperature:g}"),
        *([("average", f"of {model.average} over views")] if model.average is not None else []),
        *([("embedding", f"{model.embedding.size} numbers")] if model.embedding is not None else []),
        *([("engine", f"{model.engine}, {model.precision}")] if model.engine is not None else []),
        ("untrained", "yes" if model.untrained else "no"),
    ]
    return [*rows, *(("metrics", text) for text in flattened(model.metrics))]


def flattened(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Nested values as lines ``a.b value``."""
    lines = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += flattened(value, f"{name}.")
        else:
            lines.append(f"{name} {value if isinstance(value, str) else json.dumps(value)}")
    return lines


def _show(columns: tuple[str, ...], rows: list[tuple[str, ...]], *, terminal: bool) -> None:
    clean = [tuple(printable(cell) for cell in row) for row in rows]
    if not terminal:
        emit(tabbed(clean))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=any(columns))
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)  # the name is what one copies
    for row in clean:
        table.add_row(*row)
    Console(highlight=False, markup=False, emoji=False).print(table)
