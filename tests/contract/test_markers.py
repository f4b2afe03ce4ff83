"""The markers that cut the suite are right: what tests reach is found, and pure tests are held to what they are."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from support import purity
from support.live_servers import running_server
from support.markers import MARKERS, loads_torch, reached
from support.purity import NotPure, kept_pure

ROOT = Path(__file__).parents[2]


class Served:
    def start(self) -> None:
        with running_server(Path("models")):
            pass


def helper() -> Served:
    return Served()


def test_what_a_test_reaches_by_helpers_and_classes_marks_it() -> None:
    def uses() -> None:
        helper().start()

    def imports() -> None:
        from support.golden_weights import golden_input as _  # noqa: F401

    assert reached([uses]) == {"server"}
    assert reached([lambda: subprocess.run(["true"], check=True)]) == {"server"}
    assert reached([imports]) == {"torch"}
    assert reached([kept_pure, loads_torch]) == set()


def test_files_that_load_torch_are_known_unread() -> None:
    assert loads_torch(ROOT / "tests" / "contract" / "test_manifest.py")
    assert not loads_torch(ROOT / "tests" / "server" / "test_scheduler.py")


def test_a_pure_test_that_is_none_fails_even_if_it_swallows_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotPure, match="connects"), kept_pure(), socket.socket() as client, suppress(NotPure):
        client.connect(("127.0.0.1", 9))
    with pytest.raises(NotPure, match="process"), kept_pure(), suppress(NotPure):
        subprocess.run([sys.executable, "--version"], check=True)
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "torch"})
    with pytest.raises(NotPure, match="torch"), kept_pure():
        sys.modules["torch"] = sys
    monkeypatch.setattr(purity, "PROCESSOR_S", 0.0)
    with pytest.raises(NotPure, match="processor"), kept_pure():
        sum(range(100_000))


def test_a_pair_of_sockets_inside_this_process_is_pure() -> None:
    with kept_pure():
        one, other = socket.socketpair()
        one.close()
        other.close()


def test_the_page_on_tests_tells_of_every_marker() -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    assert [name for name in MARKERS if f"`{name}`" not in page] == []
