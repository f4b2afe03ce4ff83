"""Which labels a request ranks, as in ``labels=red,blue``: names as they were given -> places in the model's list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from laps_server.arrays import IntArray
from laps_server.errors import BadParameter, UnknownLabel

_SEPARATOR = ","
_MOST_NEAR = 3
_MAX_ECHO = 100


def chosen_labels(asked: Sequence[str], labels: Sequence[str]) -> IntArray | None:
    """The places in ``labels`` that are asked for, ascending; None where nothing is asked, which means all.

    Names may be joined by commas. A name that has a comma itself is found where it is given alone.

    Raises:
        UnknownLabel: the model has no such label; the hint has those with similar names.
        BadParameter: a name is empty.
    """
    if not asked:
        return None
    places = {label: place for place, label in enumerate(labels)}
    found = set()
    for name in _names(asked, places):
        if not name:
            raise BadParameter("labels has an empty name", hint="name labels as in labels=red,blue")
        if name not in places:
            raise UnknownLabel(f"the model has no label {name[:_MAX_ECHO]!r}", hint=_hint(name, labels))
        found.add(places[name])
    return np.array(sorted(found), dtype=np.intp)


def _names(asked: Iterable[str], places: dict[str, int]) -> Iterable[str]:
    for given in asked:
        if given in places:
            yield given
        else:
            yield from (name.strip() for name in given.split(_SEPARATOR))


def _hint(name: str, labels: Sequence[str]) -> str:
    by_lower_case = {label.lower(): label for label in labels}
    near = get_close_matches(name[:_MAX_ECHO].lower().replace("_", " "), by_lower_case, n=_MOST_NEAR)
    if near:
        return f"did you mean {' or '.join(by_lower_case[match] for match in near)}?"
    return "GET /models/NAME lists the model's labels"
