"""A model as the command line names it: ``NAME``, or ``NAME/VERSION``."""

from __future__ import annotations

import re

from laps_client.cli.exit_status import wrong_use

_REFERENCE = re.compile(r"(?P<name>[^/]+)(?:/(?P<version>[1-9][0-9]{0,8}))?")


def parse_reference(text: str) -> tuple[str, int | None]:
    """Its name, and its version where one is named.

    Raises:
        CommandFailed: it has another form.
    """
    parts = _REFERENCE.fullmatch(text)
    if parts is None:
        raise wrong_use(f"{text!r} is no model", "write it as NAME or NAME/VERSION; laps models lists them")
    version = parts["version"]
    return parts["name"], None if version is None else int(version)
