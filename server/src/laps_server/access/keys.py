"""API keys: made, told apart, compared.

A key is shown once, when it is made, and only its hash is kept::

    laps_3f9a1c07_x1Yk…          id, by which it is found, and 32 random bytes
         └──id──┘ └secret┘

The secret is drawn, not chosen, so one round of SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

_PREFIX = "laps"
_ID_BYTES = 4
_SECRET_BYTES = 32
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of one key.

    Attributes:
        id: public part; in logs and metrics.
        name: who has it, for people.
        sha256: of the whole key, in hex.
        created: day and time, ISO 8601.
        requests_per_minute: most classify requests in a minute; None for as many as the server takes.
        concurrency: most of them at once; None likewise.
        admin: whether it may change what is served.
    """

    id: str
    name: str
    sha256: str
    created: str
    requests_per_minute: float | None = None
    concurrency: int | None = None
    admin: bool = False


def new_key_text() -> tuple[str, str, str]:
    """A new key: its id, the whole text, and the hash that is kept of it."""
    identity = secrets.token_hex(_ID_BYTES)
    text = f"{_PREFIX}_{identity}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return identity, text, hash_of(text)


def hash_of(text: str) -> str:
    """SHA-256 of a whole key, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


class KeyRing:
    """The keys that are valid now."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._keys = {key.id: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All of them, in the order in which they were made."""
        return tuple(self._keys.values())

    def find(self, text: str) -> ApiKey | None:
        """The key that ``text`` is, or None.

        An id is no secret; what is compared in constant time is the hash, and that also where no key has the id.
        """
        _, _, rest = text.partition("_")
        key = self._keys.get(rest.partition("_")[0])
        same = hmac.compare_digest(hash_of(text), key.sha256 if key else _NOBODY)
        return key if same else None
