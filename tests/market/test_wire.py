"""JSON ↔ types."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import BadReply
from tradebot.market import wire
from tradebot.market.bars import Klines
from tradebot.market.usage import ORDERS, REQUESTS, WEIGHT, Limit, Window
from tradebot.market.venue import Balance, Instrument, Order, OrderPair, OrderType, Side

T0 = 1_516_406_400_000
SYMBOL: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "isSpotTradingAllowed": True,
    "somethingNew": {"of": "2027"},
    "filters": [
        {"filterType": "NOTIONAL", "minNotional": "5.0", "maxNotional": "9000000.0"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "112.2", "stepSize": "0.00000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001000"},
        {"filterType": "INVENTED_LATER", "limit": 3},
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01000000"},
    ],
}
ORDER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "clientOrderId": "tb-1",
    "transactTime": T0,
    "price": "0.00000000",
    "origQty": "10.00000000",
    "executedQty": "10.00000000",
    "cummulativeQuoteQty": "39998.00000000",
    "status": "FILLED",
    "type": "MARKET",
    "side": "BUY",
    "fills": [
        {"price": "4000.0", "qty": "9.0", "commission": "4.0", "commissionAsset": "USDT", "tradeId": 56},
        {"price": "3998.0", "qty": "1.0", "commission": "0.1", "commissionAsset": "BNB", "tradeId": 57},
    ],
}
TRADE: dict[str, Any] = {
    "symbol": "BNBBTC",
    "id": 28457,
    "orderId": 100234,
    "price": "4.00000100",
    "qty": "12.00000000",
    "commission": "10.10000000",
    "commissionAsset": "BNB",
    "time": T0,
    "isBuyer": False,
    "isMaker": True,
}


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != field}


def test_rules_are_found_by_their_type_wherever_they_stand() -> None:
    rules = wire.instruments({"symbols": [SYMBOL]})["BTCUSDT"]
    assert (rules.base, rules.quote, rules.tradable) == ("BTC", "USDT", True)
    assert (rules.tick, rules.step) == (Decimal("0.01"), Decimal("0.00001"))
    assert (rules.min_quantity, rules.max_quantity) == (Decimal("0.00001"), Decimal(9000))
    assert rules.max_market_quantity == Decimal("112.2")
    assert (rules.min_notional, rules.max_notional) == (Decimal(5), Decimal(9000000))


@pytest.mark.parametrize(
    "rule",
    [
        {"filterType": "MIN_NOTIONAL", "minNotional": "10.0", "applyToMarket": True},
        {"filterType": "MIN_NOTIONAL", "notional": "10"},
        {"filterType": "NOTIONAL", "minNotional": "10.00"},
    ],
)
def test_the_least_notional_has_three_spellings(rule: dict[str, Any]) -> None:
    assert wire.instruments({"symbols": [SYMBOL | {"filters": [rule]}]})["BTCUSDT"].min_notional == 10


def test_a_symbol_without_rules_has_none() -> None:
    rules = wire.instruments({"symbols": [without(SYMBOL, "filters")]})["BTCUSDT"]
    assert rules.tick == rules.step == rules.min_notional == 0


@pytest.mark.parametrize("status", ["BREAK", "CANCEL_ONLY", "A_WORD_OF_2027"])
def test_a_status_that_is_not_trading_survives_and_is_not_tradable(status: str) -> None:
    rules = wire.instruments({"symbols": [SYMBOL | {"status": status}]})["BTCUSDT"]
    assert rules.status == status
    assert not rules.tradable


def test_a_symbol_that_cannot_be_read_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = wire.instruments({"symbols": [without(SYMBOL, "baseAsset") | {"symbol": "X"}, SYMBOL]})
    assert list(found) == ["BTCUSDT"]
    assert "field 'baseAsset' is missing" in caplog.text


def test_when_no_symbol_can_be_read_the_reply_is_bad() -> None:
    with pytest.raises(BadReply, match="none of 1 entries"):
        wire.instruments({"symbols": [without(SYMBOL, "symbol")]})


def rate(what: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": what, "interval": interval, "intervalNum": number, "limit": limit}


def test_limits_are_what_the_venue_names_of_those_that_are_known() -> None:
    named = [
        rate("REQUEST_WEIGHT", "MINUTE", 2, 12000), rate("ORDERS", "SECOND", 10, 100),
        rate("RAW_REQUESTS", "DAY", 1, 7), rate("UNHEARD_OF", "MINUTE", 1, 5),
        rate("ORDERS", "FORTNIGHT", 1, 5), rate("ORDERS", "DAY", 1, 0),
    ]  # fmt: skip
    assert wire.limits({"rateLimits": named}) == [
        Window(WEIGHT, 120_000, 12000), Window(ORDERS, 10_000, 100), Window(REQUESTS, 86_400_000, 7)
    ]  # fmt: skip
    assert wire.limits({}) == []
    with pytest.raises(BadReply, match="field 'limit' is missing"):
        wire.limits({"rateLimits": [without(named[0], "limit")]})


@pytest.mark.parametrize(
    ("header", "limit"),
    [
        ("x-mbx-used-weight-1m", (WEIGHT, 60_000)), ("x-mbx-used-weight-2m", (WEIGHT, 120_000)),
        ("x-mbx-order-count-10s", (ORDERS, 10_000)), ("x-mbx-order-count-1d", (ORDERS, 86_400_000)),
        ("x-mbx-used-weight-1h", (WEIGHT, 3_600_000)), ("x-mbx-used-weight", None), ("x-mbx-used-weight-1y", None),
        ("x-mbx-raw-requests-5m", None), ("content-length", None), ("x-mbx-used-weight-١m", None),
    ],
)  # fmt: skip
def test_a_counter_names_its_limit(header: str, limit: Limit | None) -> None:
    assert wire.counted(header) == limit


def test_of_contracts_only_those_without_an_end_are_listed() -> None:
    rows = [SYMBOL | {"symbol": kind, "contractType": kind} for kind in ("PERPETUAL", "CURRENT_QUARTER", "UNHEARD_OF")]
    assert list(wire.instruments({"symbols": rows})) == ["PERPETUAL"]


def test_tickers_rank_by_float_and_price_by_decimal() -> None:
    row = {
        "symbol": "A",
        "lastPrice": "0.00005290",
        "bidPrice": "0.0000529",
        "askPrice": "0.000053",
        "quoteVolume": "7",
    }
    ticker = wire.tickers([row])["A"]
    assert (ticker.last, ticker.bid, ticker.ask, ticker.quote_volume) == (
        Decimal("0.00005290"),
        Decimal("0.0000529"),
        Decimal("0.000053"),
        7.0,
    )
    unquoted = wire.tickers([without(without(row, "bidPrice"), "askPrice")])["A"]
    assert unquoted.bid == unquoted.ask == unquoted.last


def test_prices_are_decimals() -> None:
    assert wire.prices([{"symbol": "A", "price": "4.00000200"}]) == {"A": Decimal("4.000002")}


def test_balances_leave_out_what_one_has_nothing_of() -> None:
    rows = [{"asset": "BTC", "free": "1.5", "locked": "0.5"}, {"asset": "X", "free": "0.00", "locked": "0.00"}]
    assert wire.balances({"balances": rows}) == {"BTC": Balance(Decimal("1.5"), Decimal("0.5"))}


def test_a_placed_order_is_reported_with_its_fills() -> None:
    report = wire.order_report(ORDER)
    assert (report.client_id, report.order_id, report.side, report.status) == ("tb-1", 28, Side.BUY, "FILLED")
    assert report.average == Decimal("3999.8")
    assert [(fill.trade_id, fill.fee, fill.fee_asset, fill.time) for fill in report.fills] == [
        (56, Decimal("4.0"), "USDT", T0),
        (57, Decimal("0.1"), "BNB", T0),
    ]


def test_a_cancelled_order_keeps_its_own_id() -> None:
    report = wire.order_report(ORDER | {"origClientOrderId": "tb-1", "clientOrderId": "the-cancel"})
    assert report.client_id == "tb-1"


@pytest.mark.parametrize(
    ("paid", "quotes"),
    [
        ("0.00002469", ["0.00001234", "0.00001235"]),
        ("0.00002470", ["0.00001234", "0.00001236"]),
        ("-1", ["0.00001234", "0.00001234"]),
    ],
)
def test_fills_add_up_to_what_was_paid_however_the_venue_rounds(paid: str, quotes: list[str]) -> None:
    row = {"price": "0.00012345", "qty": "0.1", "commission": "0", "commissionAsset": "BNB"}
    rows = [row | {"tradeId": 1}, row | {"tradeId": 2}]
    report = wire.order_report(ORDER | {"executedQty": "0.2", "cummulativeQuoteQty": paid, "fills": rows})
    assert [each.worth for each in report.fills] == [Decimal(quote) for quote in quotes]
    cut = wire.order_report(ORDER | {"executedQty": "0.3", "cummulativeQuoteQty": paid, "fills": rows})
    assert [each.worth for each in cut.fills] == [Decimal("0.00001234")] * 2, "the sum is not theirs"


def test_a_trade_is_worth_what_the_venue_says() -> None:
    (told,) = wire.fills([TRADE | {"price": "0.00012345", "qty": "0.1", "quoteQty": "0.00001235"}])
    assert told.worth == Decimal("0.00001235")
    (untold,) = wire.fills([without(TRADE, "quoteQty") | {"price": "0.00012345", "qty": "0.1"}])
    assert untold.worth == Decimal("0.000012345")


def test_a_queried_order_has_other_times_and_no_fills() -> None:
    report = wire.order_report(without(without(ORDER, "transactTime"), "fills") | {"time": T0 - 9, "updateTime": T0})
    assert report.time == T0
    assert report.fills == ()


def test_a_status_of_later_years_survives() -> None:
    assert wire.order_report(ORDER | {"status": "EXPIRED_IN_MATCH"}).status == "EXPIRED_IN_MATCH"


def test_an_amount_that_the_venue_does_not_have_counts_as_nothing() -> None:
    assert wire.order_report(ORDER | {"cummulativeQuoteQty": "-1.0"}).quote_executed == 0


@pytest.mark.parametrize("field", ["symbol", "orderId", "clientOrderId", "side", "status", "executedQty", "origQty"])
def test_an_order_that_lacks_a_field_names_it(field: str) -> None:
    with pytest.raises(BadReply, match=f"order: field '{field}' is missing"):
        wire.order_report(without(ORDER, field))


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        (ORDER | {"executedQty": "many"}, wire.order_report),
        (ORDER | {"executedQty": "NaN"}, wire.order_report),
        (ORDER | {"executedQty": 0.5}, wire.order_report),
        (ORDER | {"side": "BOTH"}, wire.order_report),
        ([ORDER], wire.order_report),
        ([ORDER, {}], wire.order_reports),
        ([TRADE, {}], wire.fills),
        ({"balances": [{"asset": "A"}]}, wire.balances),
        ({"serverTime": 1_516_406_400}, wire.server_time),
        ({}, wire.server_time),
        ([], wire.server_time),
        ({"symbols": 3}, wire.instruments),
        ({"msg": "?"}, wire.tickers),
        (None, wire.prices),
    ],
)
def test_anything_else_is_a_bad_reply(reply: Any, read: Any) -> None:
    with pytest.raises(BadReply):
        read(reply)


def test_trades_say_on_which_side_of_the_book_one_stood() -> None:
    (fill,) = wire.fills([TRADE])
    assert (fill.side, fill.maker, fill.price, fill.fee_asset) == (Side.SELL, True, Decimal("4.000001"), "BNB")


KLINE = [T0, "1.5", "2.0", "1.0", "1.7", "10.00000001", T0 + 299_999, "16.0", 3, "4.0", "6.0", "83431971.04346950"]


def test_klines_are_read_to_the_last_digit() -> None:
    klines = wire.klines(orjson.dumps([KLINE]))
    assert klines["volume"][0] == 10.00000001
    assert klines.open_time.tolist() == [T0]


@pytest.mark.parametrize("blank", [b"", b" ", b"\n  "])
def test_rows_are_the_same_however_they_are_set(blank: bytes) -> None:
    rows = [[T0 + 300_000 * i, *KLINE[1:6], T0 + 300_000 * i + 299_999, *KLINE[7:]] for i in range(3)]
    klines = wire.klines(orjson.dumps(rows).replace(b",", b"," + blank) + blank)
    assert klines.data.tolist() == Klines.from_rows(rows).data.tolist()
    assert len(wire.klines(b"[" + blank + b"]")) == 0


@given(st.decimals("0.00000001", "99999999999", places=8), st.decimals("0", "1e12", places=8))
def test_numbers_in_strings_are_rounded_as_float_rounds_them(price: Decimal, volume: Decimal) -> None:
    klines = wire.klines(orjson.dumps([[T0, *[format(price, "f")] * 4, format(volume, "f"), *KLINE[6:]]]))
    assert klines["close"][0] == float(price)
    assert klines["volume"][0] == float(volume)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'[[1516406400000,"1.5"',
        b'{"code":-1121,"msg":"Invalid symbol."}',
        orjson.dumps([[T0 // 1000, *KLINE[1:]]]),
        orjson.dumps([[T0, "0.0", *KLINE[2:]]]),
        orjson.dumps([[T0, "-1.0", *KLINE[2:]]]),
        orjson.dumps([[T0, "NaN", *KLINE[2:]]]),
        orjson.dumps([[T0, None, *KLINE[2:]]]),
        orjson.dumps([KLINE[:11]]),
        orjson.dumps([KLINE[:11], [T0, *KLINE]]),
        orjson.dumps([KLINE, KLINE[:11]])[:-2] + b"]",
        orjson.dumps([[*KLINE[:10], *KLINE[11:]], [T0 + 300_000, 0, *KLINE[1:]]]),
        orjson.dumps([KLINE])[:-1],
        b"[[]]",
        orjson.dumps([KLINE, KLINE]),
        orjson.dumps([1, 2]),
    ],
)
def test_klines_that_are_none_are_a_bad_reply(body: bytes) -> None:
    with pytest.raises(BadReply):
        wire.klines(body)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e20", max_value="1e20", places=12))
def test_decimals_are_sent_without_exponent_and_without_loss(value: Decimal) -> None:
    text = wire.plain(value)
    assert "e" not in text.lower()
    assert Decimal(text) == value


@pytest.mark.parametrize(
    ("value", "text"), [("1E-8", "0.00000001"), ("1E+3", "1000"), ("1.500", "1.5"), ("100", "100")]
)
def test_decimals_are_sent_plain(value: str, text: str) -> None:
    assert wire.plain(Decimal(value)) == text


def test_a_market_order_sends_only_what_its_type_knows() -> None:
    order = Order("BTCUSDT", Side.BUY, "tb-1", quantity=Decimal("1E-5"))
    assert wire.order_parameters(order) == [
        ("symbol", "BTCUSDT"),
        ("side", "BUY"),
        ("type", "MARKET"),
        ("quantity", "0.00001"),
        ("newClientOrderId", "tb-1"),
        ("newOrderRespType", "FULL"),
    ]


def test_a_market_order_can_be_for_an_amount_of_the_quote_coin() -> None:
    sent = dict(wire.order_parameters(Order("BTCUSDT", Side.BUY, "tb-1", quote_quantity=Decimal("50.10"))))
    assert sent["quoteOrderQty"] == "50.1"
    assert "quantity" not in sent


@pytest.mark.parametrize(
    ("kind", "needed", "excluded"),
    [
        (OrderType.LIMIT, {"timeInForce", "price"}, {"stopPrice"}),
        (OrderType.LIMIT_MAKER, {"price"}, {"timeInForce", "stopPrice"}),
        (OrderType.STOP_LOSS, {"stopPrice"}, {"timeInForce", "price"}),
        (OrderType.TAKE_PROFIT_LIMIT, {"timeInForce", "price", "stopPrice"}, set()),
    ],
)
def test_resting_orders_carry_the_parameters_of_their_type(
    kind: OrderType, needed: set[str], excluded: set[str]
) -> None:
    price = Decimal(3) if "price" in needed else None
    stop = Decimal(2) if "stopPrice" in needed else None
    order = Order("BTCUSDT", Side.SELL, "tb-1", kind, Decimal(1), price=price, stop_price=stop)
    sent = dict(wire.order_parameters(order))
    assert needed <= sent.keys()
    assert not excluded & sent.keys()


def test_a_pair_names_both_legs_and_shares_what_they_have_in_common() -> None:
    above = Order("BTCUSDT", Side.SELL, "tb-t", OrderType.LIMIT_MAKER, Decimal("1.50"), price=Decimal(12))
    kind = OrderType.STOP_LOSS_LIMIT
    below = Order("BTCUSDT", Side.SELL, "tb-s", kind, Decimal("1.50"), price=Decimal(8), stop_price=Decimal(9))
    assert wire.pair_parameters(OrderPair("tb-l", above, below)) == [
        ("symbol", "BTCUSDT"),
        ("listClientOrderId", "tb-l"),
        ("side", "SELL"),
        ("quantity", "1.5"),
        ("aboveType", "LIMIT_MAKER"),
        ("abovePrice", "12"),
        ("aboveClientOrderId", "tb-t"),
        ("belowType", "STOP_LOSS_LIMIT"),
        ("belowTimeInForce", "GTC"),
        ("belowPrice", "8"),
        ("belowStopPrice", "9"),
        ("belowClientOrderId", "tb-s"),
        ("newOrderRespType", "RESULT"),
    ]


def test_bounds_of_prices_and_stops_are_read_from_either_filter() -> None:
    def read(*filters: dict[str, object]) -> Instrument:
        row = {"symbol": "AB", "baseAsset": "A", "quoteAsset": "B", "filters": list(filters)}
        return wire.instruments({"symbols": [row]})["AB"]

    sides = {"bidMultiplierUp": "1.3", "bidMultiplierDown": "0.2", "askMultiplierUp": "5", "askMultiplierDown": "0.8"}
    both = read(
        {"filterType": "PERCENT_PRICE_BY_SIDE", **sides},
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "9000", "tickSize": "0.01"},
    )
    assert (both.buy_up, both.buy_down, both.sell_up, both.sell_down) == tuple(map(Decimal, ("1.3", "0.2", "5", "0.8")))
    assert (both.min_price, both.max_price) == (Decimal("0.01"), 9000)
    one = read({"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2"})
    assert (one.buy_up, one.sell_down) == (5, Decimal("0.2"))
    assert read().sell_up == 0


def test_the_time_in_force_can_be_chosen() -> None:
    order = Order("A", Side.BUY, "tb", OrderType.LIMIT, Decimal(1), price=Decimal(1), time_in_force="IOC")
    assert dict(wire.order_parameters(order))["timeInForce"] == "IOC"


def test_a_refusal_has_a_code_and_a_text_and_anything_else_has_not() -> None:
    assert wire.refusal({"code": -1121, "msg": "Invalid symbol."}) == (-1121, "Invalid symbol.")
    assert wire.refusal([1]) == wire.refusal(None) == wire.refusal({"code": "x"}) == (0, "")
