"""Options of the whole test run, and the markers that cut it; docs/testing.md tells of both."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.markers import IMPURE, MARKERS, loads_torch, reached
from support.purity import kept_pure

# Read when torch loads: threads that wait must not burn a core that another process needs, or tests of a few seconds
# take minutes on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Their files share servers, a browser or an export.
_SHARING_FOLDERS = ("e2e", "web")


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
    markers = reached([item.function, *fixtures]) | ({"torch"} if loads_torch(item.path) else set())
    for name in markers:
        item.add_marker(name)
    if item.config.pluginmanager.hasplugin("xdist"):
        item.add_marker(pytest.mark.xdist_group(_group(item, markers)))


def _group(item: pytest.Item, markers: set[str]) -> str:
    """Tests of one group run in one process, one after the other: those of a file share its fixtures."""
    if "triton" in markers:
        return "triton"  # they look at all of the machine's shared memory
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return folder if folder in _SHARING_FOLDERS else str(item.path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long; run with make test-goldens"))


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
