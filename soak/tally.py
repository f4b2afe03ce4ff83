"""Every request is accounted for: what clients saw, beside what the server says that it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from soak.clients import LEFT, Kind

_SAMPLE = "laps_http_request_seconds_count"
_MAX_SURPRISES = 20


@dataclass
class Tally:
    """What clients saw so far, by the name of their kind."""

    seen: dict[str, Counter[str]] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    surprised: int = 0

    def add(self, name: str, kind: Kind, outcome: str) -> None:
        """Count one request."""
        self.seen.setdefault(name, Counter())[outcome] += 1
        if outcome not in kind.allowed:
            self.surprised += 1
            if len(self.surprises) < _MAX_SURPRISES:
                self.surprises.append(f"{name}: {outcome}")

    @property
    def outcomes(self) -> Counter[str]:
        """Of all kinds together."""
        return sum(self.seen.values(), Counter())


def counted(exposition: str) -> Counter[str]:
    """Classify requests that a server has answered, by code, from its metrics."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == _SAMPLE and sample.labels["route"] == "/classify":
                found[sample.labels["code"]] += int(sample.value)
    return found


def unaccounted(seen: Mapping[str, int], served: Mapping[str, int]) -> list[str]:
    """Where clients and server disagree.

    Of a client that left nobody knows what it would have been told. So the server may say more of each outcome than
    clients, and altogether says as many more as clients left.
    """
    wrong = [
        f"{code}: clients saw {count}, the server says {served.get(code, 0)}"
        for code, count in seen.items()
        if code != LEFT and served.get(code, 0) < count
    ]
    if sum(seen.values()) != sum(served.values()):
        wrong.append(f"clients sent {sum(seen.values())} requests, the server says {sum(served.values())}")
    return wrong
