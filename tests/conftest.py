"""Options of the whole test run, and the markers that cut it; docs/testing.md tells of both."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from support.markers import IMPURE, MARKERS, loads_torch, reached
from support.purity import kept_pure

if TYPE_CHECKING:
    from xdist.remote import Producer

    from support.side_by_side import ByFileOrFolder

# Read when torch loads: threads that wait must not burn a core that another process needs, or tests of a few seconds
# take minutes on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No trial of engines at the start of each of a hundred servers: what is about engines says which, and what is about the
# trial says auto.
os.environ.setdefault("LAPS_ENGINE", "ort")
os.environ.setdefault("LAPS_PRECISION", "float32")


# A busy machine is no failure, and no test fails by chance: the examples are the same in every run, but in that of
# --hypothesis-profile=search.
settings.register_profile("search", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-long", action="store_true", help="run tests marked long too")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files out unread whose import alone would load torch, where no test of torch is wanted."""
    if "not torch" not in config.option.markexpr:
        return None
    file = collection_path / "conftest.py" if collection_path.is_dir() else collection_path
    return True if file.suffix == ".py" and file.is_file() and loads_torch(file) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    if not isinstance(item, pytest.Function):
        return
    fixtures = [fixture.func for chain in item._fixtureinfo.name2fixturedefs.values() for fixture in chain]
    for name in reached([item.function, *fixtures]) | ({"torch"} if loads_torch(item.path) else set()):
        item.add_marker(name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one process of several
        from support.side_by_side import place_in_line

        items.sort(key=place_in_line)
    if config.getoption("--run-long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: make test-goldens, zoo, test-swap or test-scale"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFileOrFolder:
    from support.side_by_side import ByFileOrFolder

    return ByFileOrFolder(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    if "not torch" in session.config.option.markexpr and "torch" in sys.modules:
        raise pytest.UsageError("torch was loaded with tests that are not of it; see tests/support/markers.py")


@pytest.fixture(autouse=True)
def _kept_pure(request: pytest.FixtureRequest) -> Iterator[None]:
    if any(request.node.get_closest_marker(name) for name in IMPURE):
        yield
        return
    with kept_pure():
        yield
