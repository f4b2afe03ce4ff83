"""Which of a file's video streams is the video to classify, as pure functions.

Beside it lie covers, posters, thumbnails for seeking, small copies for editing, and streams that were announced and
never came. Each step narrows the streams down, unless none would be left::

    all video streams       cover   poster   copy   video   announced
    none a thumbnail                poster   copy   video   announced    by its flags
    with packets                    poster   copy   video                by the index, or by reading packets
    more than one frame                      copy   video                where another stream has more
    default                                         video                where not all are
    a codec of ours                                 video
    most pixels, most frames, first

Where flags and packets leave more than one, a warning says which was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class StreamCandidate:
    """One video stream as its container declares it.

    Attributes:
        index: its number among all streams of the file.
        width, height: coded pixels; 0 where nothing tells.
        decoder: FFmpeg's name of the decoder, None where there is none.
        is_default: whether it is flagged as the one to show, or enabled.
        is_thumbnail: whether it is flagged as a cover, a still image or thumbnails for seeking.
        frames: how many frames are declared; 0 also where the container does not say.
        entries: how many packets the container's index holds so far.
    """

    index: int
    width: int
    height: int
    decoder: str | None
    is_default: bool
    is_thumbnail: bool
    frames: int
    entries: int

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """The stream to classify, and a warning where there was a choice."""

    index: int
    warning: str | None = None


def without_thumbnails(candidates: Sequence[StreamCandidate]) -> tuple[StreamCandidate, ...]:
    """The streams that no flag calls a thumbnail."""
    return tuple(stream for stream in candidates if not stream.is_thumbnail)


def packets_by_index(candidates: Sequence[StreamCandidate]) -> Mapping[int, int] | None:
    """Packets of each stream, by its index; None where the container's own index does not tell all of them.

    It tells where every stream has as many entries as frames declared. It does not in fragments, in files whose index
    is lost, and in containers that list key frames alone.
    """
    counts = {stream.index: stream.entries for stream in candidates}
    is_complete = any(counts.values()) and all(stream.entries == stream.frames for stream in candidates)
    return counts if is_complete else None


def choose_stream(
    candidates: Sequence[StreamCandidate], packets: Mapping[int, int], decoders: Collection[str]
) -> StreamChoice:
    """The stream to classify.

    Args:
        candidates: at least one.
        packets: how many each has, by its index, as far as was looked.
        decoders: those that are accepted; a stream for none of them is chosen only where no other is left.
    """
    counted = [replace(stream, frames=packets[stream.index]) for stream in candidates]
    left = _narrowed(counted, lambda stream: stream.frames > 0)
    left = _narrowed(left, lambda stream: stream.frames > 1)
    preferred = _narrowed(left, lambda stream: stream.is_default)
    # Where the stream to show cannot be decoded, a copy that can be is better than none.
    usable = next(
        (ours for streams in (preferred, left) if (ours := [s for s in streams if s.decoder in decoders])), None
    )
    chosen = max(usable or preferred, key=lambda stream: (stream.pixels, stream.frames, -stream.index))
    warning = (
        f"the file has {len(left)} video streams: stream {chosen.index} ({chosen.width}x{chosen.height}) was taken"
    )
    return StreamChoice(chosen.index, None if preferred == [chosen] else warning)


def _narrowed(streams: list[StreamCandidate], is_wanted: Callable[[StreamCandidate], bool]) -> list[StreamCandidate]:
    """The streams that are wanted, or all of them where none is."""
    return [stream for stream in streams if is_wanted(stream)] or streams
