"""Which of a file's video streams is the film, as pure functions.

Beside the film lie covers, posters, thumbnails for seeking, small copies for editing, and streams that were announced
and never came. Each step leaves the streams that may be the film, unless it would leave none::

    all video streams       cover   poster   copy   film   announced
    none a thumbnail                poster   copy   film   announced     by its flags
    with packets                    poster   copy   film                 by the index, or by reading packets
    more than one picture                    copy   film                 where another one has more
    default                                         film                 where not all are
    a codec of ours                                 film
    most pixels, most pictures, first

Where flags and packets leave more than one, the answer says which was taken.
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
        frames: how many pictures are declared; 0 also where the container does not say.
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
        """Of one picture."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """The stream to classify, and what a client should know where there was a choice."""

    index: int
    warning: str | None = None


def possible_films(candidates: Sequence[StreamCandidate]) -> tuple[StreamCandidate, ...]:
    """The streams that no flag calls a thumbnail."""
    return tuple(stream for stream in candidates if not stream.is_thumbnail)


def packets_by_index(films: Sequence[StreamCandidate]) -> Mapping[int, int] | None:
    """Packets of each stream, by its index; None where the container's own index does not tell all of them.

    It tells where every stream has as many entries as pictures declared: those of fragments, of a file whose index is
    lost and of containers that list key frames do not.
    """
    counts = {stream.index: stream.entries for stream in films}
    return counts if any(counts.values()) and all(stream.entries == stream.frames for stream in films) else None


def choose(films: Sequence[StreamCandidate], packets: Mapping[int, int], decoders: Collection[str]) -> StreamChoice:
    """The film among ``films``, at least one; none of ``decoders`` takes it only where they take nothing that is left.

    ``packets`` says how many each has, by its index, as far as was looked.
    """
    counted = [replace(stream, frames=packets[stream.index]) for stream in films]
    left = _those(counted, lambda stream: stream.frames > 0)
    left = _those(left, lambda stream: stream.frames > 1)
    preferred = _those(left, lambda stream: stream.is_default)
    # A copy that can be decoded is better than none, where the stream to show cannot be.
    usable = next((ours for those in (preferred, left) if (ours := [s for s in those if s.decoder in decoders])), None)
    film = max(usable or preferred, key=lambda stream: (stream.pixels, stream.frames, -stream.index))
    warning = f"the file has {len(left)} video streams: stream {film.index} ({film.width}x{film.height}) was taken"
    return StreamChoice(film.index, None if preferred == [film] else warning)


def _those(streams: list[StreamCandidate], are_wanted: Callable[[StreamCandidate], bool]) -> list[StreamCandidate]:
    return [stream for stream in streams if are_wanted(stream)] or streams
