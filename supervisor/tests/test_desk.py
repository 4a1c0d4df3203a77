"""Commands wait for a cycle, and their senders for its answer."""

from __future__ import annotations

import asyncio

from supervisor.domain.command import Refusal, Resume
from supervisor.loop import desk as module
from supervisor.loop.desk import CommandDesk


def command(number: int = 1) -> Resume:
    return Resume(id=str(number), service="backend", by="token")


async def test_a_command_is_answered_by_the_cycle_that_took_it() -> None:
    desk = CommandDesk()
    woken: list[int] = []
    desk.listen(lambda: woken.append(1))
    first, second = (asyncio.create_task(desk.submit(command(n))) for n in (1, 2))
    await asyncio.sleep(0)
    taken = desk.take()
    assert [one.id for one in taken] == ["1", "2"]
    assert desk.take() == ()
    refusal = Refusal(command=taken[1], code="no", status=409, text="No.")
    desk.answer(taken, [refusal])
    assert await first is None
    assert await second is refusal
    assert len(woken) == 2


async def test_a_command_that_no_cycle_took_is_withdrawn() -> None:
    desk = CommandDesk(answer_seconds=0.05)
    refusal = await desk.submit(command())
    assert refusal is not None
    assert (refusal.status, refusal.code) == (503, "no_answer")
    assert "withdrawn" in refusal.text
    assert desk.take() == ()


async def test_a_command_in_a_cycle_that_does_not_end_may_still_have_an_effect() -> None:
    desk = CommandDesk(answer_seconds=0.05)
    waiting = asyncio.create_task(desk.submit(command()))
    await asyncio.sleep(0)
    taken = desk.take()
    refusal = await waiting
    assert refusal is not None
    assert "may still have an effect" in refusal.text
    desk.answer(taken, [])  # too late, and nobody minds


async def test_more_than_can_wait_is_refused() -> None:
    desk = CommandDesk(answer_seconds=5)
    waiting = [asyncio.create_task(desk.submit(command(n))) for n in range(module.MAX_WAITING)]
    await asyncio.sleep(0)
    refusal = await desk.submit(command(1000))
    assert refusal is not None
    assert refusal.code == "busy"
    desk.answer(desk.take(), [])
    assert await asyncio.gather(*waiting) == [None] * module.MAX_WAITING
