"""How far a video's timestamps go, and what is raised where they are of no use."""

from __future__ import annotations

from array import array

END_OF_TIME = 2**62  # in time base units; differences of two timestamps up to here fit in 64 bits


class TimestampsUnreliable(Exception):
    """The file's timestamps and its frames disagree; only counting decoded frames is safe.

    Attributes:
        packets: the number of shown packets where all were counted: a guess of the number of frames.
        times: when so many frames are shown, from the first, as far as packets tell.
        shown_times: whether ``times`` are times of showing and not of decoding, so that frames must have the same.
    """

    def __init__(
        self,
        reason: str,
        *,
        packets: int | None = None,
        times: array[int] | None = None,
        shown_times: bool = False,
    ) -> None:
        super().__init__(reason)
        self.packets = packets
        self.times = times
        self.shown_times = shown_times
