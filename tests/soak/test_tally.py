"""Clients and server agree on every request, or it is told where they do not."""

from __future__ import annotations

import pytest
from soak.clients import OK, kinds, kinds_before_triton
from soak.tally import Tally, counted, unaccounted

EXPOSITION = """\
# TYPE laps_http_request_seconds histogram
laps_http_request_seconds_count{route="/classify",method="POST",status="200",code="ok"} 5.0
laps_http_request_seconds_count{route="/classify",method="POST",status="503",code="overloaded"} 2.0
laps_http_request_seconds_count{route="/metrics",method="GET",status="200",code="ok"} 9.0
"""


def test_classify_requests_alone_are_counted_by_code() -> None:
    assert counted(EXPOSITION) == {"ok": 5, "overloaded": 2}


def test_a_client_that_left_may_have_been_told_anything() -> None:
    assert unaccounted({"ok": 4, "left": 3}, {"ok": 5, "client_closed": 2}) == []


@pytest.mark.parametrize(
    ("seen", "served"),
    [
        pytest.param({"ok": 5}, {"ok": 4}, id="an answer that the server did not give"),
        pytest.param({"ok": 5}, {"ok": 6}, id="a request that nobody sent"),
        pytest.param({"ok": 5, "left": 1}, {"ok": 5}, id="a request that never came"),
        pytest.param({"ok": 4, "video_corrupt": 1}, {"ok": 5}, id="another outcome"),
    ],
)
def test_a_difference_is_told(seen: dict[str, int], served: dict[str, int]) -> None:
    assert unaccounted(seen, served) != []


def test_what_nobody_expects_is_told_by_its_client() -> None:
    chosen, tally = kinds(1.0), Tally()
    tally.add("good", chosen["good"], OK)
    tally.add("good", chosen["good"], "overloaded")
    tally.add("good", chosen["good"], "internal")
    tally.add("damaged", chosen["damaged"], "decoder_crashed")
    assert tally.surprises == ["good: internal", "damaged: decoder_crashed"]
    assert tally.outcomes == {OK: 1, "overloaded": 1, "internal": 1, "decoder_crashed": 1}


def test_clients_of_a_server_before_triton_may_be_told_that_it_is_away_and_others_may_not() -> None:
    tally = Tally()
    for chosen in (kinds(1.0), kinds_before_triton(1.0)):
        for name, kind in chosen.items():
            tally.add(name, kind, "backend_unavailable")
            tally.add(name, kind, "internal")
    own, before = kinds(1.0), kinds_before_triton(1.0)
    assert tally.surprised == 2 * len(own) + len(before)
    assert not own.keys() & before.keys()
    assert not any("model=slow" in kind.query for kind in before.values()), "it has one model"
