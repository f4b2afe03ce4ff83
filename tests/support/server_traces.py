"""What a server leaves behind: descriptors, processes and files, its decoders' among them."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from support.live_servers import ServerProcess

_PATIENCE_S = 15


@dataclass(frozen=True, slots=True)
class ServerTraces:
    """What is held at one moment.

    Attributes:
        descriptors: of the server's own process.
        decoder_descriptors: most of any process that it started.
        children: processes that it started, and those that they started; dead ones that nobody has asked for count.
        uploads: names in its folder of uploads.
        upload_descriptors: in all of its processes, of files there.
    """

    descriptors: int
    decoder_descriptors: int
    children: int
    uploads: tuple[str, ...]
    upload_descriptors: int

    @classmethod
    def of(cls, server: ServerProcess, uploads: Path) -> Self:
        own = _descriptors(server.process.pid)
        children = [_descriptors(child) for child in children_of(server.process.pid)]
        return cls(
            descriptors=len(own),
            decoder_descriptors=max(map(len, children), default=0),
            children=len(children),
            uploads=tuple(sorted(path.name for path in uploads.iterdir())),
            upload_descriptors=sum(target.startswith(f"{uploads}/") for held in (own, *children) for target in held),
        )

    def more_than(self, rest: Self) -> list[str]:
        """In which of them there is more than at rest."""
        return [field.name for field in fields(self) if getattr(self, field.name) > getattr(rest, field.name)]


def wait_until_at_rest(server: ServerProcess, uploads: Path, rest: ServerTraces) -> None:
    """Wait until the server holds no more than it does at rest."""
    deadline = time.monotonic() + _PATIENCE_S
    while (held := ServerTraces.of(server, uploads)).more_than(rest):
        assert time.monotonic() < deadline, f"more {held.more_than(rest)}: {held}, at rest {rest}"
        time.sleep(0.02)


def title_of(process: int) -> str:
    """How a process calls itself, its arguments too; nothing of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    return ""


def children_of(process: int) -> list[int]:
    """Processes that it started, and those that they started."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for word in (task / "children").read_text().split():
                found += [int(word), *children_of(int(word))]
    return found


def decoders_of(server: ServerProcess) -> list[int]:
    """The processes that decode: the children of the one child that they are forked from."""
    own = children_of(server.process.pid)
    return [child for child in own if _parent_of(child) in own]


def peak_mib(process: int) -> int:
    """The most memory that a process has held; 0 of one that is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


def _parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _descriptors(process: int) -> list[str]:
    targets = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                targets.append(str(link.readlink()))
    return targets
