"""One server for the whole table, which is looked over after each case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from laps_server.video.sandbox.options import IS_AVAILABLE
from support.hostile_server import HostileServer, hostile_server


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileServer]:
    """A server as it comes: decoders in the sandbox; and a key is needed."""
    if not IS_AVAILABLE:
        pytest.skip("only Linux has the sandbox, and tells what a process holds")
    with hostile_server(tmp_path_factory.mktemp("hostile")) as server:
        yield server


@pytest.fixture
def server(shared_server: HostileServer) -> Iterator[HostileServer]:
    """Afterwards it is as it was: the next good request succeeds, and nothing is left."""
    yield shared_server
    shared_server.check_unharmed()
