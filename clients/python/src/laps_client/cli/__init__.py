"""The ``laps`` command; comes with the extra ``cli``. Nothing of the library imports it.

Public is :func:`main`, the entry point of the installed command. The modules here belong to the command and may change
in any release, so they need no underscore of their own.
"""

from __future__ import annotations

import sys

from laps_client._extras import missing

_EXIT_USAGE = 2


def main() -> None:
    """Entry point."""
    try:
        from laps_client.cli.app import run  # noqa: PLC0415 - typer and rich are an extra
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in ("typer", "rich"):
            raise
        sys.stderr.write(f"laps: {missing(exc, package=package, extra='cli')}\n")
        sys.exit(_EXIT_USAGE)
    run()
