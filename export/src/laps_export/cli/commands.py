"""The group of all commands, which imports a command when it is asked for.

Most of them load torch, which takes seconds, and which an installation without the extra `torch` does not have.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

from laps_export.errors import ConfigError

COMMANDS = ("train", "photographs", "variants", "convert", "onnx", "tensorrt", "quantize", "verify", "fetch")
"""Each is a function in the module of its name."""

_EXTRAS = {"quantize": "quantize"}
"""Of a command that needs another one than `torch`."""
_OURS = "laps_export"


class Commands(TyperGroup):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the interface's
        """Names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the interface's
        """The command, or one that says what is missing for it; None for any other name."""
        if cmd_name not in COMMANDS:
            return None
        try:
            function = getattr(importlib.import_module(f"{_OURS}.cli.{cmd_name}"), cmd_name)
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] == _OURS:
                raise
            return _missing(cmd_name, exc.name)
        return _single(function, cmd_name)


def _missing(name: str, package: str) -> Any:
    install = f"pip install 'laps-export[{_EXTRAS.get(name, 'torch')}]'"

    def stands_in() -> None:
        raise ConfigError(f"`laps-export {name}` needs {package}", code="missing_package", hint=install)

    command = _single(stands_in, name, help=f"Needs {package}: {install}.".replace("[", r"\["), takes_anything=True)
    command.params = []
    return command


def _single(function: Any, name: str, *, help: str | None = None, takes_anything: bool = False) -> Any:  # noqa: A002
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name, help=help, context_settings=settings if takes_anything else None)(function)
    return typer.main.get_command(app)
