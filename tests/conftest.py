"""Options of the whole test run."""

from __future__ import annotations

import os

import pytest

# Read when torch loads: threads that wait must not burn a core that another process needs, or tests of a few seconds
# take minutes on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-long", action="store_true", help="run tests marked long too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: minutes on two cores; run by a make target of its own")
    config.addinivalue_line("markers", "noisy: the browser itself complains of what this test provokes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long; run with make test-goldens"))
