"""When the prices of all symbols are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

from tradebot.clock import SECOND, SteppedClock
from tradebot.market.ttl import Bounds
from tradebot.marks import MarkBoard
from tradebot.session import Session

T0 = 1_516_406_400_000
BOUNDS = Bounds(60.0, 300.0)


class Venue:
    """The parts of a session that marks need; it counts what it is asked and what the paper account sees."""

    def __init__(self) -> None:
        self.clock = SteppedClock(T0)
        self.lives = {"CALM": 300.0, "WILD": 75.0}
        self.asked = 0
        self.seen: list[Mapping[str, Decimal]] = []

    async def prices(self) -> Mapping[str, Decimal]:
        self.asked += 1
        return {"CALM": Decimal(self.asked)}

    def ttl_s(self, symbol: str, interval: str, bounds: Bounds) -> float:
        assert interval == "5m"
        return self.lives.get(symbol, bounds.shortest_s)

    def board(self, bounds: Bounds | None) -> MarkBoard:
        session = SimpleNamespace(clock=self.clock, feed=self, store=self, mark=self.seen.append)
        return MarkBoard(cast("Session", session), "5m", bounds)

    async def requests(self, board: MarkBoard, *held: str, cycles: int = 10) -> int:
        """How many are made in so many cycles of a minute each."""
        before = self.asked
        for _ in range(cycles):
            await board.good_for(held)
            self.clock.advance(self.clock.now() + 60 * SECOND)
        return self.asked - before


async def test_with_closed_klines_only_they_are_fresh_in_each_cycle() -> None:
    venue = Venue()
    assert await venue.requests(venue.board(None)) == 10


async def test_else_they_live_as_long_as_the_most_restless_held_symbol_lets_them() -> None:
    venue = Venue()
    board = venue.board(BOUNDS)
    assert await venue.requests(board, "CALM") == 2
    venue.clock.advance(venue.clock.now() + 300 * SECOND)
    assert await venue.requests(board, "CALM", "WILD") == 5
    venue.clock.advance(venue.clock.now() + 300 * SECOND)
    assert await venue.requests(board, "CALM", "UNSEEN") == 10


async def test_who_holds_nothing_asks_once() -> None:
    venue = Venue()
    assert await venue.requests(venue.board(BOUNDS)) == 1


async def test_what_is_asked_for_is_fresh_and_the_paper_account_sees_it() -> None:
    venue = Venue()
    board = venue.board(BOUNDS)
    await board.good_for([])
    venue.clock.advance(T0 + 5)
    assert await board.ask() == {"CALM": Decimal(2)}
    assert board.asked == T0 + 5
    assert await board.good_for(["CALM"]) == {"CALM": Decimal(2)}
    assert [each["CALM"] for each in venue.seen] == [1, 2]
