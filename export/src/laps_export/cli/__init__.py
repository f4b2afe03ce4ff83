"""`laps-export`: one module a command, and `app`, which knows them all."""

from laps_export.cli.app import main

__all__ = ["main"]
