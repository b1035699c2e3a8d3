"""Balances that are asked for ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from dealing import ACCOUNT, Office

from tradebot.errors import VenueUnreachable
from tradebot.market.venue import Balance
from tradebot.trading.journal import Journal
from tradebot.trading.purse import Purse
from tradebot.trading.risk.record import Record


class Bank:
    """A venue that numbers its answers, and gives none while the gate is shut."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def balances(self) -> Mapping[str, Balance]:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.down:
            raise VenueUnreachable("down")
        return {str(number): Balance()}


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def journal(office: Callable[..., Office]) -> Journal:
    return office().journal


def opened(bank: Bank, journal: Journal) -> Purse:
    return Purse(bank, journal)  # type: ignore[arg-type]


async def test_an_answer_that_was_asked_for_ahead_is_used_once(bank: Bank, journal: Journal) -> None:
    made = opened(bank, journal)
    made.ask()
    assert [list(await made.balances()) for _ in range(2)] == [["1"], ["2"]]


async def test_it_is_full_from_the_answer_until_that_is_used_or_something_is_noted(
    bank: Bank, journal: Journal
) -> None:
    made = opened(bank, journal)
    assert not made.full
    made.ask()
    assert not made.full, "on its way"
    await asyncio.sleep(0)
    assert made.full
    await made.balances()
    assert not made.full
    made.ask()
    await asyncio.sleep(0)
    journal.record(ACCOUNT, 1, Record())
    assert not made.full


async def test_it_is_not_full_of_what_went_wrong(bank: Bank, journal: Journal) -> None:
    made = opened(bank, journal)
    bank.down = True
    made.ask()
    await asyncio.sleep(0)
    assert not made.full


async def test_an_answer_that_is_still_to_come_is_waited_for(bank: Bank, journal: Journal) -> None:
    made = opened(bank, journal)
    bank.gate.clear()
    made.ask()
    reading = asyncio.create_task(made.balances())  # type: ignore[arg-type, var-annotated]
    await asyncio.sleep(0)
    bank.gate.set()
    assert list(await reading) == ["1"]
    assert bank.asked == 1


@pytest.mark.parametrize("late", [False, True])
async def test_what_the_journal_has_noted_since_makes_it_worthless(bank: Bank, journal: Journal, late: bool) -> None:
    made = opened(bank, journal)
    bank.gate.clear()
    made.ask()
    reading = asyncio.create_task(made.balances()) if late else None  # type: ignore[arg-type, var-annotated]
    await asyncio.sleep(0)
    journal.record(ACCOUNT, 1, Record())
    bank.gate.set()
    assert list(await (reading or made.balances())) == ["2"]


async def test_an_answer_that_has_grown_old_is_not_used(bank: Bank, journal: Journal) -> None:
    made = Purse(bank, journal, good_ms=-1)  # type: ignore[arg-type]
    made.ask()
    await asyncio.sleep(0)
    assert list(await made.balances()) == ["2"]


async def test_a_venue_that_does_not_answer_is_told(bank: Bank, journal: Journal) -> None:
    made = opened(bank, journal)
    bank.down = True
    made.ask()
    with pytest.raises(VenueUnreachable):
        await made.balances()


async def test_what_nobody_needs_any_more_leaves_nothing_behind(bank: Bank, journal: Journal) -> None:
    made = opened(bank, journal)
    bank.gate.clear()
    made.ask()
    made.ask()
    made.drop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(("most", "asked"), [(1, 0), (2, 1)])
async def test_a_desk_asks_ahead_only_where_there_is_a_place_left(
    office: Callable[..., Office], most: int, asked: int
) -> None:
    made = office(max_positions=most)
    await made.buy("AUSDT")
    counted = made.broker.balances
    calls = [0]

    async def counting() -> Mapping[str, Balance]:
        calls[0] += 1
        return await counted()

    made.broker.balances = counting  # type: ignore[method-assign]
    made.desk.expect()
    await asyncio.sleep(0)
    assert calls[0] == asked
    made.desk.purse.drop()
