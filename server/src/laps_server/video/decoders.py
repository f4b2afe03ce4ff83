"""What decodes videos for requests, wherever it does so: in threads of this process, or in processes of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from laps_server.moving_average import MovingAverage
from laps_server.part import Part
from laps_server.video.extract_options import ExtractOptions
from laps_server.video.limits import MediaLimits


def nobody(_: float) -> None:
    """Does not want to know how long a Part waited."""


class Decoders(Protocol):
    """A bounded number of videos is decoded at a time; each waits for its turn before each of its Parts."""

    @property
    def limits(self) -> MediaLimits:
        """What one video may cost."""
        ...

    @property
    def waiting(self) -> int:
        """Videos that wait for a decoder."""
        ...

    @property
    def videos(self) -> int:
        """Videos that are decoded or wait for it."""
        ...

    @property
    def processes(self) -> int:
        """Processes that decode, or wait for a video; none where threads do."""
        ...

    async def start(self) -> None:
        """Be ready to decode.

        Raises:
            BadParameter: not in the way that the operator asked for.
            InternalError: what decodes does not start.
        """
        ...

    def parts(
        self,
        file: int,
        options: ExtractOptions,
        *,
        deadline: float | None = None,
        urgent: bool = False,
        view_cost: MovingAverage | None = None,
        waited: Callable[[float], None] = nobody,
    ) -> AsyncGenerator[Part, None]:
        """Decode, each Part when it is asked for.

        Closing this early, or cancelling whoever waits for a Part, stops the decoder and does not wait for that.

        Args:
            file: open descriptor; stays the caller's.
            options: what is wanted of the video.
            deadline: by which the answer is wanted; the caller enforces it.
            urgent: whether it puts the video before others.
            view_cost: learns the seconds of a decoder that a view takes.
            waited: gets the seconds until a decoder was free, for each Part.

        Raises:
            MediaError, BadParameter: what :func:`~laps_server.video.extract.extract_parts` raises.
            DecoderCrashed: the video took its decoder down.
            ShuttingDown: this was closed first.
        """
        ...

    def close(self) -> None:
        """Stop the videos being decoded and drop the waiting ones; waits for that, so it is called in a thread."""
        ...
