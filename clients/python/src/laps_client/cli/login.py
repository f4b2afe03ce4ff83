"""``laps login`` and ``laps logout``: keep the key of a server for later commands, and forget it."""

from __future__ import annotations

from laps_client._api_keys import VARIABLE, keep_key, keys_file, origin_of
from laps_client._endpoints import checked_url
from laps_client.cli.connection import Connection, required
from laps_client.cli.display import Display
from laps_client.cli.exit_status import OK, not_written, wrong_use


async def login(connection: Connection, display: Display) -> int:
    """Keep the connection's key, if the server takes it.

    Raises:
        CommandFailed: it does not, it does not answer, or the key cannot be kept.
    """
    if not connection.api_key:
        raise wrong_use("no key was given", "laps-server keys add NAME, on the server, prints one")
    async with connection.client() as client:
        await required(client.models())
    _keep(connection, connection.api_key)
    display.say(
        f"the key is kept for {origin_of(checked_url(connection.url))}, in {keys_file()}; {VARIABLE} goes before it"
    )
    return OK


async def logout(connection: Connection, display: Display) -> int:
    """Forget the key that is kept for the server.

    Raises:
        CommandFailed: the file of keys cannot be written, or is something else.
    """
    async with connection.client():  # which tells of an address that is none
        _keep(connection, None)
    display.say(f"no key is kept for {origin_of(checked_url(connection.url))}")
    return OK


def _keep(connection: Connection, key: str | None) -> None:
    try:
        keep_key(keys_file(), checked_url(connection.url), key)
    except ValueError as exc:
        raise wrong_use(str(exc)) from exc
    except OSError as exc:
        raise not_written(str(keys_file()), exc) from exc
