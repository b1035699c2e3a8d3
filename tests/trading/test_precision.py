"""Whatever a symbol's rules, its price and what is there: the venue takes what is sent, or it is not sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from random import Random
from urllib.parse import urlencode

from tradebot.config import Trading
from tradebot.market.venue import Fill, Instrument, Order, Side
from tradebot.market.wire import order_parameters
from tradebot.sim import filters
from tradebot.sim.filters import Candidate, Limits, Load
from tradebot.sim.forms import read_order
from tradebot.sim.params import Params
from tradebot.sim.proposals import check_fields
from tradebot.trading import entries, protection
from tradebot.trading.orders import NOTIONAL_MARGIN, Outcome, quantize, refusal
from tradebot.trading.positions import Position

D = Decimal
CASES = 10_000
UP, DOWN = D("1.5"), D("0.5")


def amount(luck: Random, low: int, high: int, digits: int = 5) -> Decimal:
    """A number of some digits, its size anywhere between two powers of ten."""
    return D(luck.randrange(1, 10**digits)).scaleb(luck.randint(low, high) - digits)


def instrument(luck: Random) -> Instrument:
    """Rules of any kind; each may be missing."""
    step, tick = (D(luck.choice((0, 1, 1, 1, 5))).scaleb(luck.randint(-8, 2)) for _ in range(2))
    least = luck.choice((D(0), step, step * 10))
    return Instrument(
        "XUSDT", "X", "USDT", tick=tick, step=step, min_quantity=least,
        max_quantity=luck.choice((D(0), step * 100_000)), max_market_quantity=luck.choice((D(0), step * 997)),
        min_notional=luck.choice((D(0), D(5), D(10))), max_notional=luck.choice((D(0), D(9_000_000))),
        sell_up=UP, sell_down=DOWN, buy_up=UP, buy_down=DOWN,
    )  # fmt: skip


def judge(rules: Instrument, order: Order, last: Decimal, case: int) -> None:
    """The exchange's own filters, and what it expects of each type."""
    read = read_order(Params(urlencode(order_parameters(order)).encode()), "")
    check_fields(read)
    assert (read.quantity, read.price, read.stop_price) == (order.quantity, order.price, order.stop_price), case
    assert order.quantity is not None
    filters.check(
        Candidate(
            rules, order.side, order.type, order.quantity, order.price, order.stop_price, last,
            Load(1, 1, 1), Limits(up=UP, down=DOWN),
        )
    )  # fmt: skip


def entry(luck: Random, rules: Instrument, last: Decimal, settings: Trading) -> Outcome | None:
    """An entry for some money, as the desk makes it; None if it is refused before."""
    quantity = quantize(rules, amount(luck, -2, 8) / last, last)
    if refusal(rules, quantity, last, NOTIONAL_MARGIN):
        return None
    order = entries.made(Outcome("tb-1", "XUSDT", Side.BUY, quantity, last, "enter", 0, 0, "tb-1"), rules, settings)
    return None if entries.refused(order, rules) else order


def held(order: Outcome, price: Decimal, fee: Decimal, settings: Trading) -> Position:
    """What an entry brings, with a fee in the base coin."""
    shares = settings.stop_loss, settings.take_profit
    bare = Position("tb-1", "XUSDT", "X", "USDT", Side.BUY, 0, 0, 9, *shares)
    fill = Fill(1, "XUSDT", 7, Side.BUY, price, order.quantity, order.quantity * fee, "X", 5)
    return bare.entering().booked(fill).followed([])


def test_ten_thousand_symbols_are_bought_protected_and_sold_as_their_filters_have_it():
    luck, sent = Random(7), Counter[str]()
    for case in range(CASES):
        rules = instrument(luck)
        last = amount(luck, -6, 5)
        if rules.tick:
            last = max(rules.tick, protection.on_tick(last, rules.tick, "ROUND_HALF_EVEN"))
        settings = Trading.model_validate({
            "entry": luck.choice(("market", "limit")),
            "stop_loss": luck.choice(("0.001", "0.02", "0.6")),
            "take_profit": luck.choice(("0.001", "0.03", "4")),
            "trail": luck.choice(("0", "0.01")),
        })  # fmt: skip
        order = entry(luck, rules, last, settings)
        if order is None:
            sent["no entry"] += 1
            continue
        judge(rules, order.order(), last, case)
        sent[f"entry {order.type}"] += 1
        position = held(order, last, luck.choice((D(0), D("0.001"))), settings)
        guard = protection.wanted(position, rules, settings, last, limited=luck.random() < 0.5)
        if isinstance(guard, str):
            sent["no guard"] += 1
        else:
            for leg in protection.orders(position, guard, "sim", 5):
                judge(rules, leg.order(), last, case)
                assert leg.quantity <= position.quantity
                sent[f"guard {leg.type}"] += 1
        there = min(position.quantity, position.quantity * D(str(round(luck.uniform(0.2, 1.2), 5))))
        quantity = quantize(rules, there, last)
        if refusal(rules, quantity, last):
            sent["no exit"] += 1
            continue
        judge(rules, replace(order, side=Side.SELL, quantity=quantity, type=order.type.MARKET).order(), last, case)
        assert quantity <= there
        sent["exit"] += 1
    assert min(sent.values()) > 20, sent
    assert len(sent) == 9, sent
