from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import orjson
import pytest
from exchanging import NOW, D, instrument
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import HOUR, MINUTE
from tradebot.market.bars import MONTH, Klines
from tradebot.market.venue import Balance, Fill, OrderType, Side
from tradebot.sim import replies
from tradebot.sim.books import Entry, Event, OrderList
from tradebot.sim.counts import WINDOWS
from tradebot.sim.exact import Exact, Scale
from tradebot.sim.filters import Limits
from tradebot.sim.ledger import Fees

ENTRY = Entry(
    7,
    "ETHUSDT",
    "a-1",
    Side.BUY,
    OrderType.MARKET,
    "FILLED",
    D("0.5"),
    D(0),
    D(0),
    "GTC",
    D("0.5"),
    D("1000.2"),
    NOW,
    NOW + 1,
)
FEES = Fees(D("0.001"), D("0.0005"))
FILL = Fill(3, "ETHUSDT", 7, Side.BUY, D("2000.4"), D("0.5"), D("0.0005"), "ETH", NOW)


@given(st.lists(st.integers(0, 10**14), min_size=10, max_size=10), st.tuples(*[st.integers(0, 8)] * 3))
def test_rows_carry_every_digit_with_eight_places(values: list[int], places: tuple[int, int, int]) -> None:
    values[0] = NOW - NOW % MINUTE
    bars = Exact(np.array(values, np.int64)[:, None], Scale(*places))
    (row,) = orjson.loads(b"[" + replies.kline_rows(bars, "1m") + b"]")
    assert len(row) == 12
    assert (row[0], row[6], row[8], row[11]) == (values[0], values[0] + MINUTE - 1, values[7], "0")
    texts = [row[place] for place in (1, 2, 3, 4, 5, 7, 9, 10)]
    scales = [place for k, place in enumerate(bars.scale.rows) if k not in (0, 7)]
    wanted = [
        Decimal(value).scaleb(-place)
        for value, place in zip([v for k, v in enumerate(values) if k not in (0, 7)], scales, strict=True)
    ]
    assert [Decimal(text) for text in texts] == wanted
    assert all(len(text.split(".")[1]) == 8 for text in texts)


@given(st.lists(st.integers(0, 10**14), min_size=10, max_size=10), st.sampled_from(["1m", "3d", MONTH]))
def test_a_bar_alone_is_written_as_among_others(values: list[int], interval: str) -> None:
    bar = Exact(np.array(values, np.int64)[:, None] // 1000, Scale(2, 5, 7))
    pages = replies.kline_pages([(bar, interval)] * 2)
    assert pages == [replies.kline_rows(bar, interval)] * 2


def test_a_client_reads_the_same_klines() -> None:
    draw = np.random.default_rng(1).integers(1, 10**12, (10, 50))
    draw[0] = np.arange(50) * HOUR
    bars = Exact(draw.astype(np.int64), Scale(2, 5, 7))
    rows = orjson.loads(b"[" + replies.kline_rows(bars, "1h") + b"]")
    assert Klines.from_rows(rows).data.tolist() == bars.klines().data.tolist()


def test_no_bars_are_no_rows() -> None:
    assert replies.kline_rows(Exact.empty(Scale(1, 1, 1)), "1m") == b""


@pytest.mark.parametrize(
    ("interval", "opened", "closed"),
    [
        ("5m", 1_516_406_400_000, 1_516_406_699_999),
        ("5m", 1_516_406_400_000 + 15_000, 1_516_406_699_999),  # off the grid
        ("1w", 1_516_579_200_000, 1_517_183_999_999),  # Monday, 22 January 2018
        ("1M", 1_514_764_800_000, 1_517_443_199_999),
    ],
)
def test_a_bar_closes_one_ms_before_the_next(interval: str, opened: int, closed: int) -> None:
    assert replies.close_times(np.array([opened]), interval).tolist() == [closed]


def test_amounts_are_plain_decimals() -> None:
    assert replies.amount(D("1E-8")) == "0.00000001"
    assert replies.amount(D("1E+5")) == "100000.00000000"


def test_orders_are_written_in_the_order_of_the_venue() -> None:
    sent = ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime", "price", "origQty", "executedQty"]
    sent += ["origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce", "type", "side", "workingTime"]
    assert list(replies.placed(ENTRY, [FILL], "FULL")) == [*sent, "fills", "selfTradePreventionMode"]
    canceled = list(replies.canceled(ENTRY, "c-9"))
    assert canceled[:6] == ["symbol", "origClientOrderId", *sent[1:5]]
    assert list(replies.queried(ENTRY)) == [
        *sent[:4], "price", "origQty", "executedQty", "cummulativeQuoteQty", "status", "timeInForce", "type", "side",
        "stopPrice", "icebergQty", "time", "updateTime", "isWorking", "workingTime", "origQuoteOrderQty",
        "selfTradePreventionMode",
    ]  # fmt: skip


def test_a_new_order_is_answered_as_fully_as_was_asked() -> None:
    short, medium, full = (replies.placed(ENTRY, [FILL], kind) for kind in ("ACK", "RESULT", "FULL"))
    assert set(short) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert short["transactTime"] == NOW + 1
    assert medium["cummulativeQuoteQty"] == "1000.20000000"
    assert set(full) - set(medium) == {"fills"}
    assert full["fills"] == [
        {
            "price": "2000.40000000",
            "qty": "0.50000000",
            "commission": "0.00050000",
            "commissionAsset": "ETH",
            "tradeId": 3,
        }
    ]


def test_a_cancel_tells_both_ids() -> None:
    told = replies.canceled(replace(ENTRY, status="CANCELED"), "c-9")
    assert (told["origClientOrderId"], told["clientOrderId"], told["status"]) == ("a-1", "c-9", "CANCELED")


def test_a_trade_says_who_bought_and_for_how_much() -> None:
    told = replies.trade(FILL)
    assert (told["id"], told["orderId"], told["quoteQty"], told["isBuyer"]) == (3, 7, "1000.20000000", True)
    assert (told["orderListId"], replies.trade(FILL, 4)["orderListId"]) == (-1, 4)
    assert replies.trade(replace(FILL, side=Side.SELL))["isBuyer"] is False


def test_the_account_can_tell_of_what_is_not_held() -> None:
    held = {"BTC": Balance(), "ETH": Balance(D(1), D(2))}
    told = orjson.loads(orjson.dumps(replies.account(held, FEES, NOW, {"ETH", "XRP", "ADA"})))["balances"]
    assert [each["asset"] for each in told] == ["ADA", "ETH", "XRP"]
    assert told[0] == {"asset": "ADA", "free": "0.00000000", "locked": "0.00000000"}
    (eth,) = replies.account(held, FEES, NOW)["balances"]
    assert eth == {"asset": "ETH", "free": "1.00000000", "locked": "2.00000000"}


def test_rules_without_a_bound_are_zero() -> None:
    told = replies.instrument(instrument(step=D(0), max_market_quantity=D(0)), Limits())
    filters = {each["filterType"]: each for each in told["filters"]}
    assert filters["LOT_SIZE"]["stepSize"] == filters["MARKET_LOT_SIZE"]["maxQty"] == "0.00000000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert (told["baseAsset"], told["quoteAsset"], told["orderTypes"]) == ("ETH", "USDT", list(OrderType))


def test_what_an_order_does_not_have_is_not_told() -> None:
    plain = replies.order(ENTRY)
    assert not plain.keys() & {"stopPrice", "strategyId", "strategyType", "expiryReason"}
    more = replace(ENTRY, stop_price=D(9), strategy_id=1, strategy_type=1_000_000, reason="OCO_TRIGGER", working=-1)
    told = replies.order(more)
    assert told.items() - plain.items() == {
        ("stopPrice", "9.00000000"), ("strategyId", 1), ("strategyType", 1_000_000), ("expiryReason", "OCO_TRIGGER"),
        ("workingTime", -1),
    }  # fmt: skip
    assert (replies.queried(more)["isWorking"], replies.queried(ENTRY)["isWorking"]) == (False, True)


@pytest.mark.parametrize(
    ("statuses", "going"), [(("NEW", "NEW"), True), (("EXPIRED", "NEW"), True), (("FILLED", "EXPIRED"), False)]
)
def test_a_list_goes_on_while_one_of_its_orders_does(statuses: tuple[str, str], going: bool) -> None:
    legs = [replace(ENTRY, order_id=place, status=status, updated=NOW + place) for place, status in enumerate(statuses)]
    told = replies.listed(OrderList(3, "ETHUSDT", "l-1", NOW), legs)
    states = ("EXEC_STARTED", "EXECUTING") if going else ("ALL_DONE", "ALL_DONE")
    assert (told["listStatusType"], told["listOrderStatus"]) == states
    assert (told["orderListId"], told["contingencyType"], told["transactionTime"]) == (3, "OCO", NOW + 1)
    assert [each["orderId"] for each in told["orders"]] == [0, 1]


def test_fees_are_told_in_three_places() -> None:
    rates = replies.account({}, FEES, NOW)
    assert (rates["makerCommission"], rates["takerCommission"]) == (5, 10)
    told = replies.commission("ETHUSDT", FEES)
    assert told["standardCommission"] == rates["commissionRates"]
    assert told["standardCommission"]["maker"] == "0.00050000"
    assert replies.tested(FEES)["standardCommissionForOrder"] == {"maker": "0.00050000", "taker": "0.00100000"}


def test_the_limits_of_orders_are_told_with_what_is_used() -> None:
    told = replies.rate_limits(dict.fromkeys(WINDOWS, 3))
    assert [(each["interval"], each["intervalNum"], each["limit"], each["count"]) for each in told] == [
        ("SECOND", 10, 100, 3), ("DAY", 1, 200_000, 3),
    ]  # fmt: skip


def test_a_line_of_the_log_carries_its_trade() -> None:
    event = Event(1, NOW, "TRADE", 7, "PARTIALLY_FILLED", D("0.1"), FILL)
    told = replies.happened(event, ENTRY)
    assert (told["event"], told["status"], told["executedQty"]) == ("TRADE", "PARTIALLY_FILLED", "0.10000000")
    assert told["trade"]["id"] == 3
    assert "trade" not in replies.happened(replace(event, fill=None), ENTRY)
