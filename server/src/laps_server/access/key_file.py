"""The file of keys: written whole or not at all, by one at a time, and read again when it has changed.

``laps-server keys`` writes it, running servers read it. A file that turns out wrong later, or is gone, does not lock
everybody out and lets nobody in: the keys that were read last stay valid, and the log says so.

Who may write the file may let himself in, so one that others may write is refused. Who may read it learns names and
quotas, but no key.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from laps_server.access.keys import ApiKey, KeyRing
from laps_server.errors import BadParameter
from laps_server.observe import now
from laps_server.whole_file import write_whole

_LOG = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.25
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_KEYS = TypeAdapter(dict[str, list[ApiKey]])

_Stamp = tuple[int, int, int]


class KeyFile:
    """The valid keys of one file, at most a quarter of a second old."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            BadParameter: it is not there, or not a file of keys.
        """
        self._path = path
        self._ring = read_keys(path)
        self._stamp = _stamp(path)
        self._looked = now()

    @property
    def ring(self) -> KeyRing:
        """The keys that are valid now."""
        if now() - self._looked >= _LOOK_AGAIN_S:
            self._looked = now()
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
        return self._ring

    def _read_again(self) -> None:
        try:
            self._ring = read_keys(self._path)
        except BadParameter as exc:
            _LOG.error("keys stay as they were: %s", exc)
        else:
            _LOG.info("%d keys are valid now", len(self._ring))


def read_keys(path: Path) -> KeyRing:
    """The keys in a file.

    Raises:
        BadParameter: it cannot be read, it is something else, or others may write it.
    """
    hint = "laps-server keys add NAME makes one"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except OSError as exc:
        raise BadParameter(f"the file of keys {path}: {exc.strerror}", hint=hint) from exc
    if mode & _OTHERS_WRITE:
        raise BadParameter(f"{path} can be written by others (mode {mode:o})", hint=f"chmod 600 {path}")
    try:
        parsed = _KEYS.validate_json(content)
    except ValidationError as exc:
        raise BadParameter(f"{path} is not a file of keys", hint=hint) from exc
    if set(parsed) != {"keys"}:
        raise BadParameter(f"{path} is not a file of keys", hint=hint)
    return KeyRing(parsed["keys"])


def change_keys(path: Path, change: Callable[[KeyRing], KeyRing]) -> None:
    """Put other keys in the place of those of the file, for its owner's eyes alone.

    Two that change it at once take turns, so that no key comes back and none is lost.

    Raises:
        BadParameter: it cannot be read or written; or of ``change``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as exc:
        raise BadParameter(f"cannot write {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of the folder, since the file itself is replaced
        _write_keys(path, change(read_keys(path) if path.exists() else KeyRing()))
    finally:
        os.close(folder)


def _write_keys(path: Path, ring: KeyRing) -> None:
    text = json.dumps({"keys": [asdict(key) for key in ring.keys]}, indent=2) + "\n"
    try:
        write_whole(path, text)
    except OSError as exc:
        raise BadParameter(f"cannot write {path}: {exc.strerror}") from exc


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino  # the time of a new mode too
