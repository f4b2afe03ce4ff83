"""Damage to a file, as Hypothesis draws it: bytes written over, and what follows cut off."""

from __future__ import annotations

from hypothesis import strategies as st

_BYTES = st.integers(0, 255)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, *, most: int = 4, ends: int | None = None) -> bytes:
    """A file with a few of its bytes replaced, and perhaps cut.

    Args:
        draw: Hypothesis'.
        whole: the file.
        most: bytes that are replaced.
        ends: replace them in so many bytes at either end only, where a file says what it holds.
    """
    last = len(whole) - 1
    places = st.integers(0, last)
    if ends is not None:
        places = st.integers(0, min(last, ends)) | st.integers(max(0, last - ends), last)
    file = bytearray(whole)
    for place, value in draw(st.lists(st.tuples(places, _BYTES), min_size=1, max_size=most)):
        file[place] = value
    length = draw(st.none() | st.integers(0, last))
    return bytes(file[:length])
