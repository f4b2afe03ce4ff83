"""`laps-export`: all commands, and what becomes of their errors.

Answers go to stdout, progress and errors to stderr. Errors of the tree become a message, a hint and an exit
code; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from laps_export.cli.convert import convert
from laps_export.cli.onnx import onnx
from laps_export.cli.photographs import photographs
from laps_export.cli.tensorrt import tensorrt
from laps_export.cli.train import train
from laps_export.cli.variants import variants
from laps_export.cli.verify import verify
from laps_export.errors import (
    BuilderError,
    CheckpointError,
    ConfigError,
    DataError,
    GraphError,
    LabelsError,
    LapsExportError,
    ParityError,
    RepositoryError,
    TrainingError,
)

EXIT_CODES: dict[type[LapsExportError], int] = {
    ConfigError: 3,
    CheckpointError: 4,
    LabelsError: 5,
    RepositoryError: 6,
    GraphError: 7,
    ParityError: 8,
    DataError: 9,
    TrainingError: 10,
    BuilderError: 11,
}
"""0 is success, 1 a bug, 2 a wrong command line, 130 and 143 an interrupt."""

app = typer.Typer(
    help="From a LAPS checkpoint to a model that a server can load.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (train, photographs, variants, convert, onnx, tensorrt, verify):
    app.command()(command)


def main() -> NoReturn:
    """Entry point of the console script."""
    # A terminated export cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except LapsExportError as exc:
        err = Console(stderr=True, highlight=False, soft_wrap=True)
        err.print(Text.assemble(("error", "bold red"), f" [{exc.code}]: {exc.message}"))
        if exc.hint:
            err.print(Text(f"hint: {exc.hint}"))
        sys.exit(EXIT_CODES[type(exc)])
    sys.exit(0)


def _terminate(signum: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)
