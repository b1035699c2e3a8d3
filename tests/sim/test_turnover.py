from __future__ import annotations

from decimal import Decimal

import pytest
from exchanging import D, Tape, instrument, marked

from tradebot.clock import MINUTE
from tradebot.market.venue import Side
from tradebot.sim.resting import Level, Path, Touch
from tradebot.sim.turnover import SHARE, Turnover

ETH = instrument()
FLAT = (2000, 2000, 2000, 2000)
DOWN = Level(D(1990), falling=True, through=False)


def turnover(tape: Tape, used: str = "0") -> Turnover:
    def made(symbol: str, side: Side, since: int, before: int) -> Decimal:
        assert (symbol, side, before - since) == ("ETHUSDT", Side.BUY, MINUTE)
        return D(used) if since == tape.opened(1) else D(0)

    return Turnover(Path(tape), made)


@pytest.mark.parametrize(("volume", "used", "left"), [(400, "0", "100"), (400, "99.5", "0.5"), (400, "100", "0"),
                                                      (1, "0", "0.25"), (0, "0", "0")])  # fmt: skip
def test_who_rests_gets_a_quarter_of_what_is_traded_in_a_bar(volume: int, used: str, left: str) -> None:
    assert SHARE == 4
    tape = Tape(FLAT, FLAT, FLAT, volume=volume)
    room = turnover(tape, used).room(ETH, Side.BUY, tape.opened(1) + 7)
    assert (room.amount, room.ended) == (D(left), tape.opened(2))


def test_a_share_is_on_the_step() -> None:
    tape = Tape(FLAT, FLAT, volume=1)
    assert turnover(tape).room(instrument(step=D("0.1")), Side.BUY, tape.opened(0)).amount == D("0.2")


def test_where_nothing_tells_how_much_is_traded_there_is_no_bound() -> None:
    room = Turnover(Path(marked()), lambda *_: D(0)).room(ETH, Side.BUY, 0)
    assert room.amount == Decimal("Infinity")


@pytest.mark.parametrize(("used", "place"), [("0", 1), ("24.999", 1), ("25", 3)])
def test_a_bar_of_which_all_was_got_is_passed_over(used: str, place: int) -> None:
    deep = (2000, 2000, 1980, 2000)
    tape = Tape(FLAT, deep, FLAT, deep, FLAT, volume=100)
    touch = turnover(tape, used).first(ETH, Side.BUY, DOWN, tape.opened(0), tape.opened(5))
    assert isinstance(touch, Touch)
    assert tape.opened(place) <= touch.time < tape.opened(place + 1)


def test_it_ends_where_the_level_is_not_met_any_more() -> None:
    tape = Tape(FLAT, (2000, 2000, 1980, 2000), FLAT, volume=0)
    assert turnover(tape).first(ETH, Side.BUY, DOWN, tape.opened(0), tape.opened(9)) is None
