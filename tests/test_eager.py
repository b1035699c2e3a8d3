"""Entries that go out while a cycle still looks."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tradebot.eager import Eager
from tradebot.look import Look


async def test_parts_are_entered_one_after_the_other_once_what_must_be_over_is_over() -> None:
    gate, seen, inside = asyncio.Event(), list[object](), [0, 0]

    async def first() -> None:
        await gate.wait()
        seen.append("first")

    async def enter(part: Look) -> None:
        inside[0] += 1
        inside[1] = max(inside)
        await asyncio.sleep(0)
        seen.append(part)
        inside[0] -= 1

    eager = Eager(enter, asyncio.create_task(first()))
    for part in ("one", "two", "three"):
        eager.take(cast("Look", part))
    await asyncio.sleep(0)
    assert seen == []
    gate.set()
    await eager.done()
    assert seen == ["first", "one", "two", "three"]
    assert inside[1] == 1, "never two at once"


async def test_nothing_taken_is_done_at_once() -> None:
    async def enter(_: Look) -> None:
        raise AssertionError

    await Eager(enter).done()


async def test_a_bug_in_an_entry_comes_to_light() -> None:
    async def enter(_: Look) -> None:
        raise ZeroDivisionError

    eager = Eager(enter)
    eager.take(cast("Look", "one"))
    with pytest.raises(ZeroDivisionError):
        await eager.done()
