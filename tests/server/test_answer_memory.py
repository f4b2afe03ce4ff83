from __future__ import annotations

import asyncio

import pytest

from laps_server.answer_memory import AnswerMemory
from laps_server.errors import BadParameter, Overloaded

MIB = 2**20


def test_answers_of_all_requests_fit_a_bound_together() -> None:
    memory = AnswerMemory(100)
    with memory.share() as one, memory.share() as other:
        one.need(60)
        with pytest.raises(Overloaded, match="take 60 bytes and this one 50, more than the limit of 100"):
            other.need(50)
        other.need(40)
        assert memory.used_bytes == 100
    assert memory.used_bytes == 0


def test_a_share_grows_and_does_not_shrink() -> None:
    memory = AnswerMemory(100)
    with memory.share() as share:
        for size in (10, 30, 20):
            share.need(size)
        assert memory.used_bytes == 30
        share.need(100)
    assert memory.used_bytes == 0


def test_what_never_fits_is_the_requests_own_fault() -> None:
    memory = AnswerMemory(100)
    with memory.share() as share, pytest.raises(BadParameter, match="101 bytes, of 100 at most"):
        share.need(101)


@pytest.mark.parametrize(("size", "at_once"), [(MIB, 2), (8 * MIB, 1)], ids=["small", "large"])
async def test_large_answers_are_encoded_one_by_one(size: int, at_once: int) -> None:
    memory = AnswerMemory()
    inside = most = 0

    async def encode() -> None:
        nonlocal inside, most
        with memory.share() as share:
            share.need(size)
            async with share.encoding():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

    await asyncio.gather(encode(), encode())
    assert most == at_once
