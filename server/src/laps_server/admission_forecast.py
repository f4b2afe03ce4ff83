"""Whether a request would be answered in time, from what waits already: asked before a byte of its body is read."""

from __future__ import annotations

from laps_server.callbacks import Callbacks
from laps_server.errors import Overloaded

# Who was told to come back and did gets in, though the queue moved a little slower than it was thought to.
_SLACK = 1.25


class AdmissionForecast:
    """Lets a request in if its views would run before its deadline; else tells it when to come back."""

    def __init__(self, callbacks: Callbacks | None = None) -> None:
        self._callbacks = callbacks or Callbacks()

    def check(self, who: str, *, busy_s: float, own_s: float, left_s: float) -> None:
        """Refuse what would be late.

        Args:
            who: who asks, so that it is known when it comes back.
            busy_s: until the engine is through with what waits.
            own_s: that the request's views take; 0 where nothing has been measured.
            left_s: until its deadline.

        Raises:
            Overloaded: with the time to wait.
        """
        kept = self._callbacks.keep(who)
        # One that would be late on an idle server is not refused for others' work, but by its deadline.
        allowed_s = max(left_s, own_s)
        promised_s = 0.0 if kept else self._callbacks.promised_s
        if busy_s + promised_s + own_s <= allowed_s * (_SLACK if kept else 1):
            return
        wait_s = self._callbacks.refuse(who, busy_s=max(0.0, busy_s + own_s - allowed_s), service_s=own_s)
        raise Overloaded(
            f"what waits already takes about {busy_s + promised_s:.1f} s, and the request has {left_s:.1f} s",
            hint="send it again after Retry-After, with the same X-Request-ID, or with a later deadline",
            retry_after_s=wait_s,
        )
