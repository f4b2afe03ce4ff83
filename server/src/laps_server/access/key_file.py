"""The file of keys: written whole or not at all, and read again when it has changed.

``laps-server keys`` writes it, running servers read it. A file that turns out wrong later, or is gone, does not lock
everybody out and lets nobody in: the keys that were read last stay valid, and the log says so.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from laps_server.access.keys import ApiKey, KeyRing
from laps_server.errors import BadParameter
from laps_server.observe import now

_LOG = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.25
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
        BadParameter: it cannot be read, or it is something else.
    """
    hint = "laps-server keys add NAME makes one"
    try:
        parsed = _KEYS.validate_json(path.read_bytes())
    except OSError as exc:
        raise BadParameter(f"the file of keys {path}: {exc.strerror}", hint=hint) from exc
    except ValidationError as exc:
        raise BadParameter(f"{path} is not a file of keys", hint=hint) from exc
    if set(parsed) != {"keys"}:
        raise BadParameter(f"{path} is not a file of keys", hint=hint)
    return KeyRing(parsed["keys"])


def write_keys(path: Path, ring: KeyRing) -> None:
    """Put the keys in the place of the file, for its owner's eyes alone.

    Raises:
        BadParameter: it cannot be written.
    """
    text = json.dumps({"keys": [asdict(key) for key in ring.keys]}, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 600 from the start
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise BadParameter(f"cannot write {path}: {exc.strerror}") from exc


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
