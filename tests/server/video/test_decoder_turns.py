from __future__ import annotations

import asyncio

import pytest

from laps_server.video.decoder_turns import DecoderTurns


class Queue:
    """Takes turns of one decoder, and notes whose turn it was."""

    def __init__(self) -> None:
        self.turns = DecoderTurns(1)
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, name: str, deadline: float | None = None, *, urgent: bool = False) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.turns.take(deadline=deadline, urgent=urgent)
            self.order.append(name)

        self.tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)
        return self.tasks[-1]

    async def all_through(self) -> list[str]:
        while any(not task.done() for task in self.tasks):
            self.turns.give_back()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return self.order


async def test_named_deadlines_order_the_queue_and_the_rest_go_as_they_came() -> None:
    queue = Queue()
    await queue.join("running")
    await queue.join("first", 300.0)
    await queue.join("late", 90.0, urgent=True)
    await queue.join("second", 200.0)
    await queue.join("soon", 5.0, urgent=True)
    assert await queue.all_through() == ["running", "soon", "late", "first", "second"]


async def test_urgent_ones_do_not_starve_who_must_be_ready_before_them() -> None:
    queue = Queue()
    await queue.join("running")
    await queue.join("has waited long", 50.0)
    await queue.join("urgent", 60.0, urgent=True)
    await queue.join("more urgent", 40.0, urgent=True)
    assert await queue.all_through() == ["running", "more urgent", "has waited long", "urgent"]


@pytest.mark.parametrize("turn_came", [False, True])
async def test_who_leaves_the_queue_takes_no_turn(turn_came: bool) -> None:
    queue = Queue()
    await queue.join("running")
    gone = await queue.join("gone")
    await queue.join("next")
    if turn_came:
        queue.turns.give_back()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    if not turn_came:
        assert queue.turns.waiting == 1
    queue.tasks.remove(gone)
    await queue.all_through()
    assert queue.order[-1] == "next"
    assert queue.turns.waiting == 0
