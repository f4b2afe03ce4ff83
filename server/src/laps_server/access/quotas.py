"""How much of the server each key may take: requests a minute, and requests at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from laps_server.access.keys import ApiKey
from laps_server.errors import QuotaExceeded
from laps_server.observe import now

_MINUTE_S = 60.0
BURST_S = 10.0  # a key may use the requests of so many seconds at once


@dataclass(slots=True)
class _Bucket:
    """Requests that may come at once; filled steadily."""

    tokens: float
    filled: float


class Quotas:
    """What every key has used; a key that changes its quota keeps what it used."""

    def __init__(self, clock: Callable[[], float] = now) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._active: Counter[str] = Counter()

    @contextmanager
    def use(self, key: ApiKey) -> Iterator[None]:
        """Take one request's share, and a place for as long as the context lasts.

        Raises:
            QuotaExceeded: saying when there is one again.
        """
        self.check(key)
        if key.requests_per_minute is not None:
            self._buckets[key.id].tokens -= 1
        self._active[key.id] += 1
        try:
            yield
        finally:
            self._active[key.id] -= 1
            if not self._active[key.id]:
                del self._active[key.id]

    def check(self, key: ApiKey) -> None:
        """Whether there is a share and a place; nothing is taken.

        Raises:
            QuotaExceeded: as :meth:`use`.
        """
        if key.concurrency is not None and self._active[key.id] >= key.concurrency:
            raise QuotaExceeded(
                f"key {key.name!r} has {self._active[key.id]} requests in flight, which is its limit",
                hint="send the request again when one of them is answered",
                retry_after_s=1,
            )
        if key.requests_per_minute is not None:
            per_second = key.requests_per_minute / _MINUTE_S
            tokens = self._tokens(key, per_second)
            if tokens < 1:
                raise QuotaExceeded(
                    f"key {key.name!r} may send {key.requests_per_minute:g} requests a minute",
                    hint="send them more slowly, or ask for a larger quota",
                    retry_after_s=(1 - tokens) / per_second,
                )

    def _tokens(self, key: ApiKey, per_second: float) -> float:
        at = self._clock()
        most = max(1.0, per_second * BURST_S)
        bucket = self._buckets.setdefault(key.id, _Bucket(most, at))
        bucket.tokens = min(most, bucket.tokens + (at - bucket.filled) * per_second)
        bucket.filled = at
        return bucket.tokens
