from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchanging import NOW, D, Tape, exchange, instrument, marked

from tradebot.clock import MINUTE, SteppedClock
from tradebot.market.bars import FIELDS, Klines
from tradebot.market.venue import Balance, Instrument, Order, OrderType, Side
from tradebot.sim.books import Entry, Slice
from tradebot.sim.engine import Exchange

T = OrderType
BUY, SELL = Side.BUY, Side.SELL
FLAT = (2000, 2000, 2000, 2000)
START = {"USDT": D(10_000), "ETH": D(3)}


def order(side: Side, kind: T, quantity: float | str = 1, *, name: str = "a", **fields: Any) -> Order:
    values = {key: D(str(value)) for key, value in fields.items() if key != "time_in_force"}
    if kind in {T.LIMIT, T.STOP_LOSS_LIMIT, T.TAKE_PROFIT_LIMIT}:
        values["time_in_force"] = fields.get("time_in_force", "GTC")  # type: ignore[assignment]
    return Order("ETHUSDT", side, name, kind, D(str(quantity)), **values)  # type: ignore[arg-type]


def venue(
    *rows: Any, account: Path | None = None, maker: str = "0", start: Any = None, volume: int = 1_000_000
) -> Exchange:
    tape = Tape(FLAT, *rows, volume=volume)
    return Exchange(
        tape, SteppedClock(tape.opened(0)), account, fee=D("0.001"), maker_fee=D(maker), spread=D(0),
        start=START if start is None else start,
    )  # fmt: skip


def later(venue: Exchange, minutes: float) -> None:
    venue.clock.advance(venue.clock.now() + int(minutes * MINUTE))  # type: ignore[attr-defined]


def now(venue: Exchange, entry: Entry) -> Entry:
    return venue.order("ETHUSDT", entry.order_id, None)


def test_a_limit_rests_with_its_money_locked_and_is_filled_at_its_price_as_a_maker() -> None:
    made = venue((2000, 2000, 1980, 1990), maker="0.0005")
    entry, fills = made.place(order(BUY, T.LIMIT, price=1990))
    assert (entry.status, fills) == ("NEW", [])
    assert made.balances()["USDT"] == Balance(D(8010), D(1990))
    later(made, 1)
    assert now(made, entry) == entry
    later(made, 1)
    (fill,) = made.trades(Slice("ETHUSDT"))
    assert (fill.price, fill.quantity, fill.fee, fill.fee_asset, fill.maker) == (1990, 1, D("0.0005"), "ETH", True)
    assert now(made, entry).status == "FILLED"
    assert made.balances() == {"ETH": Balance(D("3.9995")), "USDT": Balance(D(8010))}
    assert made.clock.now() - 2 * MINUTE < fill.time < made.clock.now()


@pytest.mark.parametrize(("low", "status"), [(1990.01, "NEW"), (1990, "NEW"), (1989.99, "FILLED")])
def test_a_limit_is_filled_only_when_somebody_trades_beyond_it(low: float, status: str) -> None:
    made = venue((2000, 2000, low, 1995))
    entry, _ = made.place(order(BUY, T.LIMIT, price=1990))
    later(made, 2)
    assert now(made, entry).status == status


@pytest.mark.parametrize(
    ("side", "price", "short", "enough"), [(BUY, 2003, "1999.01", "1999"), (SELL, 1997, "2001", "2001.01")]
)
@pytest.mark.parametrize("shown", ["mark", "bar"])
def test_an_order_inside_the_spread_waits_for_the_other_side_of_the_book(
    side: Side, price: int, short: str, enough: str, shown: str
) -> None:
    """Around 2000 the book is 1996 to 2004 with this spread."""
    prices = marked()
    made = exchange(prices, start=START, spread="0.004")
    entry, fills = made.place(order(side, T.LIMIT, price=price))
    assert (entry.status, fills) == ("NEW", [])
    made.clock.advance(NOW + 1)  # type: ignore[attr-defined]
    assert now(made, entry).status == "NEW", "the book stood still"
    later(made, 3)
    for last, status in ((short, "NEW"), (enough, "FILLED")):
        if shown == "mark":
            prices.mark({"ETHUSDT": D(last)})
        else:
            made.play("ETHUSDT", bars((2000, max(2000, float(last)), min(2000, float(last)), 2000)))
        later(made, 1)
        assert now(made, entry).status == status
    (fill,) = made.trades(Slice("ETHUSDT"))
    assert (fill.price, fill.maker) == (price, True)


@pytest.mark.parametrize(("low", "status"), [("1999.01", "NEW"), ("1999", "FILLED")])
def test_on_a_path_too_the_ask_must_come_to_an_order_that_buys(low: str, status: str) -> None:
    tape = Tape(FLAT, (2000, 2000, float(low), 2000), FLAT)
    made = exchange(tape, SteppedClock(tape.opened(0)), start=START, spread="0.004")
    entry, _ = made.place(order(BUY, T.LIMIT, price=2003))
    later(made, 3)
    assert now(made, entry).status == status


def test_a_gap_over_a_limit_still_pays_the_limit_and_a_gap_over_a_stop_pays_the_gap() -> None:
    made = venue((1900, 1900, 1900, 1900))
    bought, _ = made.place(order(BUY, T.LIMIT, price=1950))
    sold, _ = made.place(order(SELL, T.STOP_LOSS, stop_price=1950, name="b"))
    later(made, 2)
    assert now(made, bought).quote_executed == 1950
    assert now(made, sold).quote_executed == 1900
    assert [event.event for event, _ in made.executed()] == ["NEW", "NEW", "TRIGGERED", "TRADE", "TRADE"]


@pytest.mark.parametrize(
    ("side", "kind", "stop", "row"),
    [
        (SELL, T.STOP_LOSS, 1990, (2000, 2000, 1980, 1985)),
        (BUY, T.STOP_LOSS, 2010, (2000, 2020, 2000, 2015)),
        (SELL, T.TAKE_PROFIT, 2010, (2000, 2020, 2000, 2015)),
        (BUY, T.TAKE_PROFIT, 1990, (2000, 2000, 1980, 1985)),
    ],
)
def test_a_stop_waits_and_then_trades_at_the_market(side: Side, kind: T, stop: int, row: Any) -> None:
    made = venue(row)
    entry, _ = made.place(order(side, kind, stop_price=stop))
    assert (entry.status, entry.working) == ("NEW", -1)
    reserve = made.balances()["ETH" if side is SELL else "USDT"].locked
    assert reserve == (1 if side is SELL else stop)
    later(made, 2)
    done = now(made, entry)
    assert (done.status, done.executed) == ("FILLED", 1)
    assert done.working == done.updated
    assert abs(done.quote_executed - stop) < D("0.1"), "within a ms of the path, and not at the extreme"
    (fill,) = made.trades(Slice("ETHUSDT"))
    assert not fill.maker
    assert sum(each.locked for each in made.balances().values()) == 0


def test_a_stop_limit_works_once_it_is_triggered_and_rests_if_the_price_jumped_over_it() -> None:
    made = venue((1950, 1950, 1940, 1945), (1945, 1985, 1945, 1985))
    entry, _ = made.place(order(SELL, T.STOP_LOSS_LIMIT, stop_price=1990, price=1980))
    later(made, 2)
    waits = now(made, entry)
    assert (waits.status, waits.executed, waits.working) == ("NEW", 0, NOW - NOW % MINUTE + MINUTE)
    assert made.balances()["ETH"].locked == 1
    later(made, 1)
    (fill,) = made.trades(Slice("ETHUSDT"))
    assert (fill.price, fill.maker) == (1980, True)


@pytest.mark.parametrize(
    ("time_in_force", "reason"),
    [("IOC", "UNFILLED_IOC_QUANTITY_EXPIRED"), ("FOK", "UNFILLED_FOK_ORDER_EXPIRED")],
)
def test_a_triggered_order_that_may_not_rest_expires(time_in_force: str, reason: str) -> None:
    made = venue((1950, 1950, 1940, 1945))
    wanted = order(SELL, T.STOP_LOSS_LIMIT, stop_price=1990, price=1980, time_in_force=time_in_force)
    entry, _ = made.place(wanted)
    later(made, 2)
    assert (now(made, entry).status, now(made, entry).reason) == ("EXPIRED", reason)
    assert made.balances()["ETH"] == Balance(D(3))


def test_a_stop_that_buys_spends_no_more_than_the_account_has() -> None:
    made = venue((2500, 2500, 2500, 2500), start={"USDT": D(2011)})
    entry, _ = made.place(order(BUY, T.STOP_LOSS, stop_price=2010))
    later(made, 2)
    done = now(made, entry)
    assert (done.status, done.executed, done.quote_executed) == ("EXPIRED", D("0.804"), D(2010))
    assert made.balances()["USDT"] == Balance(D(1))


def oco(made: Exchange, **changes: Any) -> tuple[Entry, Entry]:
    above = order(SELL, T.LIMIT_MAKER, price=2050, name="above")
    below = order(SELL, T.STOP_LOSS_LIMIT, stop_price=1950, price=1900, name="below")
    _, (first, second) = made.place_list(above, below, "list")
    return first, second


def test_of_two_orders_in_a_list_only_one_is_carried_out() -> None:
    for row, winner in (((2000, 2060, 2000, 2000), 0), ((2000, 2000, 1940, 2000), 1)):
        made = venue(row)
        legs = oco(made)
        assert made.balances()["ETH"] == Balance(D(2), D(1)), "what both need is locked once"
        later(made, 2)
        done, gone = now(made, legs[winner]), now(made, legs[1 - winner])
        assert (done.status, gone.status, gone.reason) == ("FILLED", "EXPIRED", "OCO_TRIGGER")
        assert done.updated == gone.updated
        assert made.balances()["ETH"] == Balance(D(2))


def test_a_leg_that_works_but_is_not_filled_ends_the_other_and_keeps_its_own_lock() -> None:
    made = venue((1890, 1890, 1890, 1890))
    above, below = oco(made)
    later(made, 2)
    assert (now(made, above).status, now(made, below).status) == ("EXPIRED", "NEW")
    assert made.balances()["ETH"] == Balance(D(2), D(1))
    assert made.order_list(None, "list")[1][1].open


@pytest.mark.parametrize("minutes", range(4))
def test_within_one_bar_the_path_says_which_leg_comes_first(minutes: int) -> None:
    made = venue(*[FLAT] * minutes, (2000, 2100, 1920, 2000))
    above, below = oco(made)
    later(made, minutes + 1.1)
    rises = made.last("ETHUSDT") > 2000
    later(made, 1)
    assert now(made, above if rises else below).status == "FILLED"


def bars(*rows: tuple[float, float, float, float], first: int = NOW) -> Klines:
    data = np.zeros((len(FIELDS), len(rows)))
    data[0] = [first + (place + 1) * MINUTE for place in range(len(rows))]
    data[1:5] = np.array(rows).T
    data[5] = 1000
    return Klines(data)


def test_on_prices_from_outside_a_mark_and_bars_carry_orders_out() -> None:
    prices = marked()
    made = exchange(prices, start=START)
    first, _ = made.place(order(BUY, T.LIMIT, price=1990))
    second, _ = made.place(order(BUY, T.LIMIT, price=1980, name="b"))
    made.play("ETHUSDT", bars((2000, 2000, 1985, 1995)))
    assert now(made, first).status == "NEW", "bars of the future say nothing"
    later(made, 2)
    made.play("ETHUSDT", bars((2000, 2000, 1985, 1995)))
    assert (now(made, first).status, now(made, second).status) == ("FILLED", "NEW")
    later(made, 1)
    prices.mark({"ETHUSDT": D(1979)})
    assert now(made, second).quote_executed == 1980


@pytest.mark.parametrize("spread", ["0", "0.0004"])
def test_in_bars_of_unknown_inside_the_stop_comes_before_the_target(spread: str) -> None:
    made = exchange(marked(), start=START, spread=spread)
    above, below = oco(made)
    later(made, 3)
    made.play("ETHUSDT", bars((2000, 2100, 1920, 2050)))
    assert (now(made, above).status, now(made, below).status) == ("EXPIRED", "FILLED")
    assert now(made, below).quote_executed == 1950 * (1 - D(spread) / 2)
    made.play("ETHUSDT", bars((2000, 2100, 1920, 2050)))
    assert len(made.trades(Slice("ETHUSDT"))) == 1, "the same bars twice change nothing"


def test_a_bar_in_which_an_order_was_placed_does_not_count_for_it() -> None:
    made = exchange(marked(), start=START)
    later(made, 1.5)
    entry, _ = made.place(order(BUY, T.LIMIT, price=1990))
    later(made, 5)
    made.play("ETHUSDT", bars((2000, 2000, 1900, 2000)))
    assert now(made, entry).status == "NEW"
    made.play("ETHUSDT", bars((2000, 2000, 1900, 2000), (2000, 2000, 1900, 2000)))
    assert now(made, entry).status == "FILLED"


def test_orders_go_on_after_a_restart_as_if_there_had_been_none(tmp_path: Path) -> None:
    rows = (FLAT, (2000, 2000, 1985, 1995), (1995, 1995, 1970, 1990), FLAT)
    stories = []
    for name, restarts in (("whole", 0), ("broken", 4)):
        made = venue(*rows, account=tmp_path / name)
        oco(made)
        for place, price in enumerate((1990, 1980, 1960)):
            made.place(order(BUY, T.LIMIT, "0.5", price=price, name=f"buy-{place}"))
        for _ in range(restarts):
            later(made, 1)
            made.close()
            fees = {"fee": D("0.001"), "maker_fee": D(0)}
            made = Exchange(made.prices, made.clock, tmp_path / name, spread=D(0), start=None, **fees)
        later(made, 5 - restarts)
        stories.append((made.executed(), made.balances(), made.counts.used(made.clock.now())))
        made.close()
    assert stories[0] == stories[1]
    assert [event.event for event, _ in stories[0][0]] == ["NEW"] * 5 + ["TRADE"] * 2


def test_a_clock_that_was_set_back_begins_anew(tmp_path: Path) -> None:
    made = venue(*[FLAT] * 3, (2000, 2000, 1900, 2000), account=tmp_path / "a")
    later(made, 2)
    entry, _ = made.place(order(BUY, T.LIMIT, price=1950))
    made.close()
    clock = SteppedClock(NOW - NOW % MINUTE)
    again = Exchange(made.prices, clock, tmp_path / "a", fee=D(0), spread=D(0), start=None)
    assert now(again, entry).status == "NEW"
    clock.advance(clock.now() + 5 * MINUTE)
    assert now(again, entry).status == "FILLED"


def test_the_time_of_a_fill_does_not_depend_on_when_one_asks() -> None:
    times: set[Any] = set()
    for steps in (1, 7, 60):
        made = venue((2000, 2010, 1970, 1990), FLAT)
        made.place(order(BUY, T.LIMIT, price=1985))
        made.place(order(SELL, T.STOP_LOSS, stop_price=1990, name="b"))
        for _ in range(steps):
            later(made, 2 / steps)
            made.open_orders()
        later(made, 1)
        times.add(tuple((fill.time, fill.price, fill.order_id) for fill in made.trades(Slice("ETHUSDT"))))
    assert len(times) == 1
    assert len(times.pop()) == 2


def test_a_maker_that_is_filled_gives_more_room_for_orders() -> None:
    made = venue((2000, 2000, 1900, 2000))
    for place in range(7):
        made.place(order(BUY, T.LIMIT, "0.1", price=1990 - 20 * place, name=str(place)))
    day = list(made.counts.used(made.clock.now()).items())[1][1]
    later(made, 2)
    made.open_orders()
    assert (day, list(made.counts.used(made.clock.now()).values())) == (7, [0, 0])


def test_an_amount_is_never_lost_to_rounding() -> None:
    made = venue((1999.99, 2000, 1500, 1600), start={"USDT": D("777.77777777")})
    made.place(order(BUY, T.LIMIT, "0.333", price="1777.77"))
    later(made, 2)
    held = made.balances()
    value = Decimal("0.333") * D("1777.77")
    assert held["USDT"] == Balance(D("777.77777777") - value)


DEEP = (2000, 2000, 1980, 2000)


def story(made: Exchange) -> list[tuple[str, str, Decimal]]:
    return [(event.event, event.status, event.executed) for event, _ in made.executed()]


def test_an_order_that_rests_is_filled_bar_by_bar_as_others_trade() -> None:
    made = venue(DEEP, FLAT, DEEP, DEEP, volume=4, maker="0.0005")
    entry, _ = made.place(order(BUY, T.LIMIT, "2.5", price=1990))
    seen = []
    for _ in range(5):
        later(made, 1)
        held = now(made, entry)
        seen.append((held.status, held.executed, made.balances()["USDT"]))
    part = "PARTIALLY_FILLED"
    assert seen == [
        ("NEW", 0, Balance(D(5025), D(4975))), (part, 1, Balance(D(5025), D(2985))),
        (part, 1, Balance(D(5025), D(2985))), (part, 2, Balance(D(5025), D(995))),
        ("FILLED", D("2.5"), Balance(D(5025))),
    ]  # fmt: skip
    fills = made.trades(Slice("ETHUSDT"))
    assert [(fill.price, fill.quantity, fill.maker) for fill in fills] == [
        (1990, 1, True), (1990, 1, True), (1990, D("0.5"), True)
    ]  # fmt: skip
    assert story(made) == [("NEW", "NEW", 0), ("TRADE", part, 1), ("TRADE", part, 2), ("TRADE", "FILLED", D("2.5"))]


def test_orders_of_one_side_share_what_is_traded_and_the_older_one_comes_first() -> None:
    made = venue(DEEP, FLAT, DEEP, volume=4)
    older, _ = made.place(order(BUY, T.LIMIT, "0.7", price=1990))
    younger, _ = made.place(order(BUY, T.LIMIT, "0.7", price=1990, name="b"))
    other, _ = made.place(order(SELL, T.LIMIT, "0.7", price=1999.99, name="c"))
    later(made, 2)
    assert [now(made, each).executed for each in (older, younger, other)] == [D("0.7"), D("0.3"), D("0.7")]
    later(made, 2)
    assert now(made, younger).status == "FILLED"


def test_where_nothing_is_traded_nothing_is_filled() -> None:
    made = venue(DEEP, (1900, 1900, 1900, 1900), volume=0)
    entry, _ = made.place(order(BUY, T.LIMIT, price=1990))
    later(made, 3)
    assert now(made, entry) == entry


def test_a_partial_fill_of_the_target_takes_the_stop_away_and_the_rest_stays() -> None:
    made = venue((2000, 2060, 2000, 2000), (2000, 2000, 1900, 1900), (1900, 2060, 1900, 2000), volume=2)
    above, below = oco(made)
    later(made, 3)
    assert (now(made, above).status, now(made, above).executed) == ("PARTIALLY_FILLED", D("0.5"))
    assert (now(made, below).status, now(made, below).reason) == ("EXPIRED", "OCO_TRIGGER")
    assert made.balances()["ETH"] == Balance(D(2), D("0.5"))
    later(made, 1)
    assert (now(made, above).status, made.balances()["ETH"]) == ("FILLED", Balance(D(2)))


def test_what_is_left_of_a_partly_filled_order_can_be_canceled() -> None:
    made = venue(DEEP, FLAT, volume=4)
    entry, _ = made.place(order(BUY, T.LIMIT, 2, price=1990))
    later(made, 2)
    gone = made.cancel("ETHUSDT", entry.order_id, None)
    assert (gone.status, gone.executed, made.balances()["USDT"]) == ("CANCELED", 1, Balance(D(8010)))
    assert [event.event for event, _ in made.executed()] == ["NEW", "TRADE", "CANCELED"]


def test_how_much_is_filled_does_not_depend_on_when_one_asks_nor_on_restarts(tmp_path: Path) -> None:
    told = []
    for steps in (1, 9, 131):
        path = tmp_path / str(steps)
        made = venue(DEEP, FLAT, DEEP, (2000, 2000, 1970, 1975), DEEP, FLAT, volume=4, account=path)
        for name, price in (("a", 1990), ("b", 1985)):
            made.place(order(BUY, T.LIMIT, 2, price=price, name=name))
        for step in range(steps):
            later(made, 8 / steps)
            made.open_orders()
            if step % 20 == 7:
                made.close()
                fees = {"fee": D("0.001"), "maker_fee": D(0)}
                made = Exchange(made.prices, made.clock, path, spread=D(0), start=None, **fees)
        told.append([(fill.order_id, fill.time, fill.quantity) for fill in made.trades(Slice("ETHUSDT"))])
        made.close()
    assert told[0] == told[1] == told[2]
    assert len(told[0]) > 3


def test_bars_from_outside_fill_as_much_as_was_traded_in_them_once() -> None:
    made = exchange(marked(), start=START)
    entry, _ = made.place(order(BUY, T.LIMIT, 2, price=1990))
    later(made, 4)
    thin = bars(DEEP, DEEP)
    thin.data[5] = 4
    for _ in range(2):
        made.play("ETHUSDT", Klines(thin.data[:, :1]))
        assert (now(made, entry).status, now(made, entry).executed) == ("PARTIALLY_FILLED", 1)
    made.play("ETHUSDT", thin)
    assert now(made, entry).status == "FILLED"


class Changing(Tape):
    """A tape whose symbol can be halted or taken off the list."""

    rules: Mapping[str, Instrument]

    def instruments(self) -> Mapping[str, Instrument]:
        return self.rules


def changing(*rows: Any) -> tuple[Exchange, Changing]:
    tape = Changing(FLAT, *rows)
    tape.rules = {"ETHUSDT": instrument()}
    return Exchange(tape, SteppedClock(tape.opened(0)), None, fee=D(0), spread=D(0), start=START), tape


def test_a_halted_symbol_fills_nothing_and_goes_on_from_where_trading_does() -> None:
    made, tape = changing((2000, 2000, 1900, 2000), FLAT, (2000, 2000, 1940, 2000))
    first, _ = made.place(order(BUY, T.LIMIT, price=1950))
    tape.rules = {"ETHUSDT": instrument(status="BREAK")}
    later(made, 2.5)
    assert now(made, first).status == "NEW"
    tape.rules = {"ETHUSDT": instrument()}
    later(made, 1.5)
    (fill,) = made.trades(Slice("ETHUSDT"))
    assert fill.time >= tape.opened(3)


def test_orders_of_a_symbol_that_is_delisted_expire_and_free_what_they_locked() -> None:
    made, tape = changing(FLAT)
    made.place(order(BUY, T.LIMIT, price=1950))
    oco(made)
    rules, tape.rules = tape.rules, {}
    later(made, 1)
    assert made.open_orders() == []
    assert made.balances() == {asset: Balance(amount) for asset, amount in START.items()}
    tape.rules = rules
    assert {(entry.status, entry.reason) for entry in made.orders(Slice("ETHUSDT"))} == {
        ("EXPIRED", "EXCHANGE_CANCELED")
    }
