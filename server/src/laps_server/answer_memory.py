"""How many bytes the answers of all requests may take together, while they are collected, encoded and sent.

An answer grows with the video's segments and is held whole, until its last byte is with the client. A request's share
is taken at once, when the video is known to have so many segments: nobody waits for memory while holding some.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from laps_server.errors import BadParameter, Overloaded

DEFAULT_BYTES = 256 * 2**20
_ALONE_BYTES = 4 * 2**20  # larger answers are encoded one after the other: that takes several times their size
_HINT = "ask for longer segments, a smaller top_k, fewer views, no frames, thumbnails or embedding"


class AnswerMemory:
    """What all answers share."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._alone = asyncio.Lock()

    @property
    def used_bytes(self) -> int:
        """Taken by answers on their way."""
        return self._used_bytes

    @contextmanager
    def share(self) -> Iterator[AnswerShare]:
        """One request's, nothing at first; given back when the context ends."""
        share = AnswerShare(self)
        try:
            yield share
        finally:
            self._used_bytes -= share.size_bytes

    def grow(self, share: AnswerShare, size_bytes: int) -> None:
        """See :meth:`AnswerShare.need`."""
        if size_bytes > self._max_bytes:
            raise BadParameter(f"the answer would take {size_bytes} bytes, of {self._max_bytes} at most", hint=_HINT)
        more = max(0, size_bytes - share.size_bytes)
        if self._used_bytes + more > self._max_bytes:
            raise Overloaded(
                f"the answers to other requests take {self._used_bytes} bytes and this one {size_bytes}, "
                f"more than the limit of {self._max_bytes}",
                hint=f"try again later, or {_HINT}",
            )
        self._used_bytes += more
        share.size_bytes += more

    @asynccontextmanager
    async def encoding(self, share: AnswerShare) -> AsyncIterator[None]:
        """Turn to encode an answer."""
        if share.size_bytes <= _ALONE_BYTES:
            yield
        else:
            async with self._alone:
                yield


class AnswerShare:
    """What one answer may take."""

    def __init__(self, memory: AnswerMemory) -> None:
        self._memory = memory
        self.size_bytes = 0

    def need(self, size_bytes: int) -> None:
        """Have so much from now on.

        Raises:
            BadParameter: one answer never gets that much.
            Overloaded: others have it now.
        """
        self._memory.grow(self, size_bytes)

    @asynccontextmanager
    async def encoding(self) -> AsyncIterator[None]:
        """Turn to encode it: it takes several times its size for that moment, so large ones do it one by one."""
        async with self._memory.encoding(self):
            yield
