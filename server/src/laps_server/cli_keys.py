"""``laps-server keys add | list | revoke``: the file of API keys. Running servers see a change within a second."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laps_server.access.key_file import change_keys, read_keys
from laps_server.access.keys import ApiKey, KeyRing, new_key_text
from laps_server.errors import BadParameter

app = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)

FileOption = Annotated[
    Path, typer.Option("--file", envvar="LAPS_KEYS_FILE", help="The file of keys that the server is started with.")
]
DEFAULT_FILE = Path("keys.json")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who gets it.")],
    *,
    file: FileOption = DEFAULT_FILE,
    requests_per_minute: Annotated[
        float | None, typer.Option(min=0.01, help="Most classify requests in a minute.", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Most classify requests at once.", show_default=False)
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may change what is served.")] = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    identity, text, digest = new_key_text()
    made = ApiKey(
        id=identity,
        name=name,
        sha256=digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        requests_per_minute=requests_per_minute,
        concurrency=concurrency,
        admin=admin,
    )

    def with_it(ring: KeyRing) -> KeyRing:
        if any(key.name == name for key in ring.keys):
            raise BadParameter(
                f"there is a key named {name!r}", hint=f"laps-server keys revoke {name}, or another name"
            )
        return KeyRing((*ring.keys, made))

    change_keys(file, with_it)
    typer.echo(text)


@app.command("list")
def list_keys(*, file: FileOption = DEFAULT_FILE) -> None:
    """List the keys that are valid."""
    table = Table("id", "name", "made", "requests a minute", "at once", "admin")
    for key in read_keys(file).keys:
        table.add_row(
            key.id,
            escape(key.name),
            key.created,
            "-" if key.requests_per_minute is None else f"{key.requests_per_minute:g}",
            "-" if key.concurrency is None else str(key.concurrency),
            "yes" if key.admin else "",
        )
    Console().print(table)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its name, or its id.")],
    *,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Make a key invalid; a running server refuses it within a second."""

    def without_it(ring: KeyRing) -> KeyRing:
        left = [other for other in ring.keys if key not in (other.id, other.name)]
        if len(left) == len(ring):
            raise BadParameter(f"there is no key {key!r}", hint="laps-server keys list")
        return KeyRing(left)

    change_keys(file, without_it)
