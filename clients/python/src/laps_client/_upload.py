"""How far the upload of one request is; the sync and the async client drive the same record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from laps_client._timeouts import Deadline, TimeIsUp
from laps_client._video_source import AsyncChunks, AsyncVideoSource, Chunks, VideoSource

Progress = Callable[[int, int | None], object]


class Upload:
    """Bytes sent of one source, over all attempts of a request."""

    def __init__(
        self, source: VideoSource | AsyncVideoSource, on_progress: Progress | None, deadline: Deadline
    ) -> None:
        self.size_bytes = source.size_bytes
        self.failure: Exception | None = None
        self._can_rewind = source.can_rewind
        self._on_progress = on_progress
        self._deadline = deadline
        self._touched = False
        self._sent_bytes = 0

    @property
    def can_resend(self) -> bool:
        """Whether every byte can still be sent."""
        return self._can_rewind or not self._touched

    def body(self, source: VideoSource) -> Chunks:
        """The chunks of one attempt."""
        with self._attempt():
            for chunk in source.chunks():
                self._touched = True
                self._deadline.check()
                yield chunk
                self._advance(len(chunk))

    async def async_body(self, source: AsyncVideoSource) -> AsyncChunks:
        """As :meth:`body`; the source's chunks are closed with it."""
        with self._attempt():
            chunks = source.chunks()
            try:
                async for chunk in chunks:
                    self._touched = True
                    yield chunk
                    self._advance(len(chunk))
            finally:
                await chunks.aclose()

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """Tells errors of the source or the callback, which may be httpx's too, from those of the connection."""
        self._sent_bytes = 0
        try:
            self._advance(0)
            yield
        except TimeIsUp:
            raise
        except Exception as exc:
            self.failure = exc
            raise

    def _advance(self, count: int) -> None:
        self._sent_bytes += count
        if self._on_progress is not None:
            self._on_progress(self._sent_bytes, self.size_bytes)
