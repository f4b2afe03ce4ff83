"""A container's own index of a stream: at which times its packets lie."""

from __future__ import annotations

from itertools import chain

import av.video.stream

from laps_server.video.index_summary import IndexSummary, on_a_line

END_ENTRIES = 1024  # at either end, each of which is looked at
SAMPLED_ENTRIES = 64  # in between


class ContainerIndex:
    """The entries of a stream's index that are known so far: some containers tell of more as they are read."""

    def __init__(self, stream: av.video.stream.VideoStream) -> None:
        self._stream = stream

    def __len__(self) -> int:
        return len(self._stream.index_entries)

    def timestamp(self, position: int) -> int:
        """Timestamp of an entry: decoding time in MP4, presentation time in Matroska."""
        return self._stream.index_entries[position].timestamp

    def key_position(self, timestamp: int) -> int | None:
        """Position of the last key entry at or before ``timestamp``."""
        position = self._stream.index_entries.search_timestamp(timestamp)
        return position if position >= 0 else None

    def summary(self) -> IndexSummary | None:
        """What the entries say together; None where there are none."""
        length = len(self)
        if not length:
            return None
        return IndexSummary(
            length=length,
            counts_frames=self._counts_frames(length),
            first=self.timestamp(0),
            last=self.timestamp(length - 1),
        )

    def _counts_frames(self, length: int) -> bool:
        """Whether each entry looks like a frame: none at the ends is hidden or empty, and times rise evenly.

        Each entry costs a little to ask, so in between only some are. Entries that hold no frame bend the line of
        times. So does an uneven rate, and then only reading all packets tells.
        """
        entries = self._stream.index_entries
        ends = chain(range(min(length, END_ENTRIES)), range(max(0, length - END_ENTRIES), length))
        if any(entries[position].is_discard or not entries[position].size for position in ends):
            return False
        some = range(0, length, max(1, length // SAMPLED_ENTRIES))
        return on_a_line([(position, entries[position].timestamp) for position in some])
