"""Which of the two forms of an answer a client prefers, as its Accept header says (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re

JSON = "application/json"
EVENT_STREAM = "text/event-stream"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"{_TOKEN}/{_TOKEN}")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def prefers_events(accept: str | None) -> bool:
    """Whether a stream of events is wanted rather than JSON, which is the default and wins a tie.

    The most specific range that matches a form gives its weight. Ranges that cannot be read are passed over.
    """
    ranges = _ranges(accept or "")
    return _weight(EVENT_STREAM, ranges) > _weight(JSON, ranges)


def _ranges(accept: str) -> list[tuple[str, float]]:
    """``text/event-stream;q=0.5, */*;q=0.1`` -> [("text/event-stream", 0.5), ("*/*", 0.1)]."""
    ranges = []
    for member in _split(accept, ","):
        name, *parameters = (part.strip() for part in _split(member, ";"))
        weight = "1"
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() in ("q", "Q"):
                weight = value.strip()
        if _RANGE.fullmatch(name) and _WEIGHT.fullmatch(weight):
            ranges.append((name.lower(), float(weight)))
    return ranges


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators outside quotes; a loop, because no pattern does it in linear time."""
    parts, start = [], 0
    quoted = escaped = False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _weight(form: str, ranges: list[tuple[str, float]]) -> float:
    for pattern in (form, f"{form.partition('/')[0]}/*", "*/*"):
        found = [weight for name, weight in ranges if name == pattern]
        if found:
            return max(found)
    return 0.0
