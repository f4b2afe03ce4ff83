"""What trials found, in a folder, so that the next start need not try again.

A file answers for exactly one question: the model's files, the machine, the versions, the settings, the views. Whatever
is wrong with the folder or with a file costs a trial and no more.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from laps_server.engines.trial import Choice
from laps_server.whole_file import write_whole

_LOG = logging.getLogger(__name__)
# What a choice depends on, by name.
Key = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file's content."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)
    key: dict[str, str]
    choice: Choice


_ADAPTER = TypeAdapter(_Kept)


class ChoiceCache:
    """Choices by what they depend on; one without a folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        """Nothing is read or made before it is asked for."""
        self._folder = folder

    def read(self, model: str, key: Key) -> Choice | None:
        """What was found for ``key``, or None."""
        if self._folder is None:
            return None
        path = self._path(model, key)
        try:
            kept = _ADAPTER.validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as exc:
            _LOG.warning("%s is passed over: %s", path, exc.strerror if isinstance(exc, OSError) else "it is damaged")
            return None
        if kept.key != dict(key) or kept.choice.candidate not in {item.candidate for item in kept.choice.measured}:
            _LOG.warning("%s is passed over: it answers another question", path)
            return None
        return kept.choice

    def write(self, model: str, key: Key, choice: Choice) -> None:
        """Keep a choice, whole or not at all."""
        if self._folder is None:
            return
        path = self._path(model, key)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(asdict(_Kept(dict(key), choice)), indent=1))
        except OSError as exc:
            _LOG.warning("what was found for %s is not kept in %s: %s", model, self._folder, exc.strerror)

    def _path(self, model: str, key: Key) -> Path:
        digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
        return (self._folder or Path()) / f"{model.replace(' ', '-')}-{digest[:16]}.json"
