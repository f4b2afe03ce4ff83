"""From exchanges to figures: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from bench.overload.clients import Seen
from bench.overload.requests import OK, REFUSED, Exchange

GOODPUT_RATIO, REJECTION_P99_S, BACK_IN = 0.95, 0.05, 0.9


@dataclass(frozen=True)
class Phase:
    """One phase in figures; ``goodput`` is answers a second, without the time in which the phase began,
    and ``core_goodput`` the same for each second of the core that others on the machine left to the server.

    Of refusals the time from the last byte of the headers to the first of the answer; ``sending_p99_s`` of those whose
    client still sent then. ``back_in`` is the share of those let in among who waited as long as they were told.
    """

    name: str
    goodput: float
    core_goodput: float
    answered: int
    refused: int
    late: int
    broken: dict[str, int]
    answer_p50_s: float
    refusal_p50_s: float
    refusal_p99_s: float
    sending: int
    sending_p99_s: float
    back: int
    back_in: float
    waits_p50_s: float
    waits_max_s: float


def phase(name: str, seen: Seen, *, began: float, ended: float, core_s: float) -> Phase:
    """What a phase comes to between two moments."""
    answered = [one for one in seen.all if one.status == OK]
    counted = [one for one in answered if began <= one.ended_at <= ended]
    refused = [one for one in seen.all if one.status == REFUSED and one.code == "overloaded"]
    sending = [one for one in refused if one.still_sending]
    broken: dict[str, int] = {}
    for one in seen.all:
        if one.broken is not None:
            broken[one.broken] = broken.get(one.broken, 0) + 1
    waits = [one.retry_after_s or 0.0 for one in refused]
    return Phase(
        name=name,
        goodput=len(counted) / (ended - began),
        core_goodput=len(counted) / core_s,
        answered=len(answered),
        refused=len(refused),
        late=sum(one.status not in (OK, REFUSED, None) for one in seen.all),
        broken=broken,
        answer_p50_s=quantile([_total(one) for one in counted], 0.5),
        refusal_p50_s=quantile([one.first_byte_s for one in refused], 0.5),
        refusal_p99_s=quantile([one.first_byte_s for one in refused], 0.99),
        sending=len(sending),
        sending_p99_s=quantile([one.first_byte_s for one in sending], 0.99),
        back=len(seen.back),
        back_in=sum(_let_in(one) for one in seen.back) / len(seen.back) if seen.back else 1.0,
        waits_p50_s=quantile(waits, 0.5),
        waits_max_s=max(waits, default=0.0),
    )


def _let_in(found: Exchange) -> bool:
    """Whatever came of it then."""
    return found.status is not None and found.code != "overloaded"


def _total(found: Exchange) -> float:
    return found.ended_at - found.sent_at


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
