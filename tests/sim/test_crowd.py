from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tradebot.sim.crowd import Crowd
from tradebot.sim.slices import InSteps


class Kitchen:
    """Answers of `steps` steps each; it notes who had asked when something was first done after the asking."""

    def __init__(self) -> None:
        self.crowd = Crowd()
        self.asked: list[str] = []
        self.cohorts: list[str] = []

    def order(self, name: str, steps: int = 2, *, alone: bool = False) -> InSteps:
        def work() -> Iterator[None]:
            for step in range(steps):
                if step == 1 and self.asked:
                    self.cohorts.append("".join(self.asked))
                    self.asked.clear()
                if step == 0:
                    self.asked.append(name)
                yield

        return InSteps(work(), lambda: name, alone=alone)

    async def client(self, name: str, times: int = 1, turns: int = 0) -> str:
        """Asks so many times, and is idle for some turns of the loop after each answer."""
        for _ in range(times):
            answer: str = await self.crowd.work(self.order(name))
            assert answer == name
            for _ in range(turns):
                await asyncio.sleep(0)
        return name

    async def late(self, name: str) -> None:
        """Asks once, some turns from now."""
        for _ in range(4):
            await asyncio.sleep(0)
        await self.client(name)


async def test_who_asks_at_the_same_time_is_worked_for_together() -> None:
    kitchen = Kitchen()
    assert await asyncio.gather(*(kitchen.client(name) for name in "abc")) == ["a", "b", "c"]
    assert kitchen.cohorts == ["abc"]


async def test_those_of_the_last_time_are_waited_for_though_one_is_slower() -> None:
    kitchen = Kitchen()
    await asyncio.gather(kitchen.client("a", 20), kitchen.client("b", 20), kitchen.client("c", 20, turns=5))
    assert {"a", "b", "c"} in [set(cohort) for cohort in kitchen.cohorts[1:]], "unless the machine stood still"


async def test_who_was_alone_waits_for_nobody() -> None:
    kitchen = Kitchen()
    await kitchen.client("a")
    other = asyncio.create_task(kitchen.late("b"))
    await kitchen.client("a")
    await other
    assert kitchen.cohorts == ["a", "a", "b"]


async def test_who_does_not_come_again_is_not_waited_for_long() -> None:
    kitchen = Kitchen()
    await asyncio.gather(*(kitchen.client(name) for name in "abc"))
    assert await asyncio.wait_for(kitchen.client("a"), 5) == "a"
    other = asyncio.create_task(kitchen.late("b"))
    await kitchen.client("a")
    await other
    assert kitchen.cohorts == ["abc", "a", "a", "b"]


async def test_a_client_that_is_dropped_holds_up_nobody() -> None:
    kitchen = Kitchen()
    first, second = (asyncio.create_task(kitchen.client(name)) for name in "ab")
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "b"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await kitchen.client("c") == "c"


async def test_an_answer_without_steps_takes_no_turn() -> None:
    work = Kitchen().crowd.work(InSteps(iter(()), lambda: "done"))
    with pytest.raises(StopIteration) as done:
        work.send(None)
    assert done.value.value == "done"


async def test_what_is_to_be_worked_out_alone_is_done_one_by_one() -> None:
    going: list[str] = []

    def work(name: str) -> Iterator[None]:
        for _ in range(3):
            going.append(name)
            yield

    crowd = Crowd()
    await asyncio.gather(*(crowd.work(InSteps(work(name), lambda: None, alone=True)) for name in "ab"))
    assert "".join(going) == "aaabbb"


async def test_between_the_turns_of_two_the_event_loop_does_what_else_there_is() -> None:
    crowd, order = Crowd(), list[str]()

    async def one(name: str) -> None:
        await crowd.turn()
        order.append(name)
        asyncio.get_running_loop().call_soon(order.append, name.upper())

    await asyncio.gather(*(one(name) for name in "abc"))
    await asyncio.sleep(0)
    assert "".join(order[:-1]) == "aAbBc"


async def test_who_leaves_before_their_turn_takes_none_from_others() -> None:
    crowd = Crowd()
    first, second, third = (asyncio.create_task(crowd.turn()) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait_for(third, 5)
    await asyncio.wait_for(crowd.turn(), 5)


async def test_who_waits_for_a_turn_belongs_to_those_who_ask_at_the_same_time() -> None:
    kitchen = Kitchen()

    async def client(name: str) -> None:
        await kitchen.crowd.turn()
        await kitchen.client(name)

    await asyncio.gather(*(client(name) for name in "abcdefgh"))
    assert kitchen.cohorts == ["abcdefgh"]
