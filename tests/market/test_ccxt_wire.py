"""ccxt's dictionaries in our types, exactly, and its errors in our tree."""

from __future__ import annotations

import socket
from decimal import Decimal
from typing import Any

import ccxt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import BadReply, ConfigError, TradebotError, VenueBusy, VenueRejected, VenueUnreachable
from tradebot.market import ccxt_wire
from tradebot.market.ccxt_wire import DECIMAL_PLACES, FINEST, SIGNIFICANT_DIGITS, TICK_SIZE, failure, ours, step, theirs
from tradebot.market.venue import Instrument, Ticker

T = 1_748_876_400_000
MARKET: dict[str, Any] = {
    "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "spot": True, "active": True,
    "precision": {"price": 0.01, "amount": 1e-05},
    "limits": {"amount": {"min": 1e-05, "max": 9000.0}, "cost": {"min": 5.0, "max": None}, "market": {"max": 120.5}},
}  # fmt: skip


def test_the_modes_are_those_of_ccxt() -> None:
    assert (DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE) == (
        ccxt.DECIMAL_PLACES,
        ccxt.SIGNIFICANT_DIGITS,
        ccxt.TICK_SIZE,
    )


@pytest.mark.parametrize(
    ("precision", "mode", "grid"),
    [
        (0.01, TICK_SIZE, "0.01"),
        (1e-08, TICK_SIZE, "0.00000001"),
        ("0.5", TICK_SIZE, "0.5"),
        (10.0, TICK_SIZE, "10"),
        (0, TICK_SIZE, "0.00000001"),
        (8, DECIMAL_PLACES, "0.00000001"),
        (0, DECIMAL_PLACES, "1"),
        (-2, DECIMAL_PLACES, "100"),
        (5, SIGNIFICANT_DIGITS, "0.00000001"),
        (None, TICK_SIZE, "0.00000001"),
        (None, DECIMAL_PLACES, "0.00000001"),
    ],
)
def test_a_precision_is_a_grid_in_every_mode(precision: object, mode: int, grid: str) -> None:
    assert step(precision, mode) == Decimal(grid)


@given(st.integers(-8, 12), st.integers(1, 99))
def test_a_tick_is_exactly_what_the_exchange_wrote(exponent: int, mantissa: int) -> None:
    tick = Decimal(mantissa).scaleb(exponent)
    assert step(float(tick), TICK_SIZE) == tick


def test_a_market_is_an_instrument_with_its_rules() -> None:
    (found,) = ccxt_wire.instruments({"BTC/USDT": MARKET}, TICK_SIZE).values()
    assert found == Instrument(
        "BTC-USDT", "BTC", "USDT", tick=Decimal("0.01"), step=Decimal("0.00001"), min_quantity=Decimal("0.00001"),
        max_quantity=Decimal(9000), max_market_quantity=Decimal("120.5"), min_notional=Decimal(5),
    )  # fmt: skip


def test_only_spot_markets_with_plain_names_are_taken_and_inactive_ones_are_halted() -> None:
    markets = {
        "a": MARKET | {"active": False},
        "b": MARKET | {"symbol": "ETH/USDT", "base": "ETH", "active": None, "limits": None, "precision": {}},
        "c": MARKET | {"symbol": "BTC/USDT:USDT", "spot": False},
        "d": MARKET | {"symbol": "币安/USDT", "base": "币安"},
    }
    found = ccxt_wire.instruments(markets, TICK_SIZE)
    assert {symbol: each.status for symbol, each in found.items()} == {"BTC-USDT": "HALT", "ETH-USDT": "TRADING"}
    assert found["ETH-USDT"] == Instrument("ETH-USDT", "ETH", "USDT", tick=FINEST, step=FINEST)


def test_a_market_without_a_name_is_a_bad_reply() -> None:
    with pytest.raises(BadReply, match="markets"):
        ccxt_wire.instruments({"x": {"spot": True}}, TICK_SIZE)


@given(st.from_regex(r"[A-Z0-9]{1,9}", fullmatch=True), st.from_regex(r"[A-Z0-9]{1,9}", fullmatch=True))
def test_symbols_go_there_and_back(base: str, quote: str) -> None:
    assert theirs(ours(f"{base}/{quote}")) == f"{base}/{quote}"


def test_tickers_fill_what_an_exchange_does_not_tell() -> None:
    found = ccxt_wire.tickers(
        {
            "BTC/USDT": {"last": 100.5, "bid": 100.0, "ask": 101.0, "quoteVolume": 5e6, "baseVolume": 1.0},
            "ETH/USDT": {"last": 10.0, "bid": None, "ask": None, "quoteVolume": None, "baseVolume": 7.0},
            "ADA/USDT": {"last": 1.0},
            "DED/USDT": {"last": None, "bid": 1.0, "ask": 1.0},
        }
    )
    assert found == {
        "BTC-USDT": Ticker("BTC-USDT", Decimal("100.5"), Decimal(100), Decimal(101), 5e6),
        "ETH-USDT": Ticker("ETH-USDT", Decimal(10), Decimal(0), Decimal(0), 70.0),
        "ADA-USDT": Ticker("ADA-USDT", Decimal(1), Decimal(0), Decimal(0), 0.0),
    }


def test_prices_leave_out_who_has_none() -> None:
    reply = {"A/B": {"price": 0.1}, "C/D": {"price": None}, "E/F": {}}
    assert ccxt_wire.prices(reply, "price") == {"A-B": Decimal("0.1")}
    with pytest.raises(BadReply, match="prices"):
        ccxt_wire.prices({"A/B": {"price": "much"}}, "price")


def bar(place: int, close: float = 2.0, volume: float | None = 5.0) -> list[float | None]:
    return [T + place * 300_000, 2.0, 3.0, 1.0, close, volume]


def test_rows_in_any_order_are_a_series_oldest_first() -> None:
    series = ccxt_wire.klines([bar(2), bar(0), bar(1)])
    assert series.open_time.tolist() == [T, T + 300_000, T + 600_000]
    assert series["close"].tolist() == [2.0] * 3


def test_of_two_rows_of_one_time_the_later_counts() -> None:
    assert ccxt_wire.klines([bar(0), bar(1, 2.0), bar(1, 2.5)])["close"].tolist() == [2.0, 2.5]


def test_what_ccxt_does_not_tell_is_zero_and_rows_without_a_price_are_none() -> None:
    empty: list[float | None] = [T + 600_000, None, None, None, None, 0.0]
    series = ccxt_wire.klines([bar(0), bar(1, volume=None), empty])
    assert series["volume"].tolist() == [5.0, 0.0]
    assert not series.data[6:].any()
    assert len(ccxt_wire.klines([])) == 0


@pytest.mark.parametrize(
    "row",
    [
        [T // 1000, 2.0, 3.0, 1.0, 2.0, 5.0],
        [T, 2.0, 3.0, 0.0, 2.0, 5.0],
        [T, 2.0, float("nan"), 1.0, 2.0, 5.0],
        [T, 2.0, 3.0],
        ["soon", 2.0, 3.0, 1.0, 2.0, 5.0],
    ],
    ids=["seconds", "no price", "not a number", "short", "no time"],
)
def test_rows_that_cannot_be_klines_are_a_bad_reply(row: list[Any]) -> None:
    with pytest.raises(BadReply, match="klines"):
        ccxt_wire.klines([row])


@given(st.permutations(range(12)), st.lists(st.integers(0, 11)))
def test_order_and_repetition_of_rows_change_nothing(order: list[int], again: list[int]) -> None:
    whole = ccxt_wire.klines([bar(place) for place in range(12)])
    assert np.array_equal(ccxt_wire.klines([bar(place) for place in [*order, *again]]).data, whole.data)


def every(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(below for each in kind.__subclasses__() for below in every(each))]


EXPECTED: dict[type[TradebotError], set[str]] = {
    VenueBusy: {"RateLimitExceeded", "DDoSProtection"},
    VenueUnreachable: {
        "OperationFailed", "NetworkError", "ExchangeNotAvailable", "OnMaintenance", "RequestTimeout", "InvalidNonce",
        "ChecksumError", "CancelPending",
    },
    BadReply: {"BadResponse", "NullResponse"},
    ConfigError: {"NotSupported"},
}  # fmt: skip


@pytest.mark.parametrize("kind", every(ccxt.BaseError), ids=lambda kind: kind.__name__)
def test_every_error_of_ccxt_is_one_of_ours(kind: type[Exception]) -> None:
    fault = failure(kind("kraken GET\n https://api/0 " + "x" * 500), "ccxt:kraken", None)
    named = [ours for ours, names in EXPECTED.items() if kind.__name__ in names]
    assert type(fault) is (named[0] if named else VenueRejected)
    assert str(fault).startswith(f"ccxt:kraken: {kind.__name__}: kraken GET https://api/0 x")
    assert len(str(fault)) < 300


def test_an_address_that_nobody_knows_is_told_in_our_words() -> None:
    told = ccxt.ExchangeNotAvailable("kraken GET https://api/0")
    told.__cause__ = socket.gaierror()
    assert str(failure(told, "ccxt:kraken", None)) == (
        "ccxt:kraken: GET https://api/0: no such host; is the venue up? see --base-url"
    )


def test_trouble_of_the_venue_itself_is_told_as_such() -> None:
    told = ccxt.OnMaintenance("kraken GET https://api/0 503 maintenance")
    assert str(failure(told, "ccxt:kraken", None)).endswith("503 maintenance; the venue is in trouble")


def test_what_ccxt_stumbles_over_is_a_bad_reply() -> None:
    assert isinstance(failure(KeyError("result"), "ccxt:kraken", None), BadReply)


@pytest.mark.parametrize(
    ("headers", "wait"), [({"Retry-After": "7"}, 7_000), ({"retry-after": "x"}, 60_000), (None, 60_000)]
)
def test_a_refusal_for_too_many_requests_says_how_long(headers: dict[str, str] | None, wait: int) -> None:
    fault = failure(ccxt.RateLimitExceeded("slow down"), "ccxt:kraken", headers)
    assert isinstance(fault, VenueBusy)
    assert fault.wait_ms == wait


def test_a_refusal_keeps_its_kind() -> None:
    statuses = [
        failure(kind("no"), "x", None).status
        for kind in (ccxt.PermissionDenied, ccxt.RestrictedLocation, ccxt.BadSymbol)
    ]  # type: ignore[attr-defined]
    assert statuses == [401, 451, 400]
