"""How pytest-xdist deals tests to processes that run side by side."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadfile import LoadFileScheduling

TOGETHER = ("e2e", "triton_engine", "web")
"""Folders whose files share an export, the machine's shared memory, or a server and a browser.

They take longest too, with the others in :data:`_LONGEST_FIRST`; dealt last, one of them would keep one process busy
while the others are through.
"""
_LONGEST_FIRST = (*TOGETHER, "export", "client", "contract")


def folder_of(nodeid: str) -> str:
    """The folder of tests/ that a test is in."""
    return PurePosixPath(nodeid.partition("::")[0]).parts[1]


def place_in_line(item: pytest.Item) -> int:
    """Orders tests such that those of long folders are dealt first."""
    folder = folder_of(item.nodeid)
    return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)


class ByFileOrFolder(LoadFileScheduling):  # type: ignore[misc]  # xdist is not typed
    """Tests of a file, or of a folder of :data:`TOGETHER`, run in one process, one after the other."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False  # most tests first is not longest first
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        folder = folder_of(nodeid)
        return folder if folder in TOGETHER else nodeid.partition("::")[0]
