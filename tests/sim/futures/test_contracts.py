from __future__ import annotations

from decimal import Decimal

import pytest
from exchanging import D, Marked, exchange, instrument
from hypothesis import given
from hypothesis import strategies as st

from tradebot.sim.footprint import NOTHING
from tradebot.sim.futures import contracts
from tradebot.sim.futures.contracts import Contracts
from tradebot.sim.refusals import Refused

ETH = instrument()


def code(check: object, *args: object, **named: object) -> int:
    with pytest.raises(Refused) as no:
        check(*args, **named)  # type: ignore[operator]
    return no.value.code


def test_only_symbols_in_the_most_common_quote_coin_are_contracts() -> None:
    source = Marked({each.symbol: each for each in (instrument(), instrument("BTC"), instrument("ETH", "BTC"))})
    offer = Contracts(exchange(source), lambda now: NOTHING)
    assert list(offer.instruments()) == ["ETHUSDT", "BTCUSDT"]
    assert code(offer.instrument, "ETHBTC") == -1121
    assert code(offer.instrument, "NONE") == -1121


def test_a_contract_tells_its_filters_in_the_words_of_futures() -> None:
    filters = {each["filterType"]: each for each in contracts.filters(ETH)}
    assert filters["MIN_NOTIONAL"] == {"filterType": "MIN_NOTIONAL", "notional": "5"}
    assert filters["MAX_NUM_ORDERS"]["limit"] == 200
    assert filters["PERCENT_PRICE"]["multiplierDecimal"] == "4"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00100000"
    assert filters["MARKET_LOT_SIZE"]["maxQty"] == "500.00000000"


def test_precisions_are_the_decimal_places_of_tick_and_step() -> None:
    told = contracts.describe(instrument(tick=D("0.10"), step=D(10)), 0)
    assert (told["pricePrecision"], told["quantityPrecision"]) == (1, 0)


@pytest.mark.parametrize(
    ("quantity", "market", "expected"),
    [
        ("0", False, -4003),
        ("0.0005", False, -4004),
        ("9001", False, -4005),
        ("501", True, -4005),
        ("1.0001", True, -4023),
    ],
)
def test_a_quantity_off_its_rules_is_refused_by_name(quantity: str, market: bool, expected: int) -> None:
    assert code(contracts.check_quantity, ETH, D(quantity), market=market) == expected


@given(st.integers(1, 499_999))
def test_every_quantity_on_the_step_within_bounds_is_taken(lots: int) -> None:
    contracts.check_quantity(ETH, Decimal(lots) * ETH.step, market=True)


@pytest.mark.parametrize(("price", "expected"), [("0", -4001), ("2000000000", -4002), ("1999.995", -4014)])
def test_a_price_off_its_rules_is_refused_by_name(price: str, expected: int) -> None:
    assert code(contracts.check_price, ETH, D(price)) == expected


def test_nobody_bids_far_above_or_asks_far_below_the_market() -> None:
    mark = D(2000)
    contracts.check_band(ETH, D(2100), mark, buys=True)
    contracts.check_band(ETH, D(1900), mark, buys=False)
    contracts.check_band(ETH, D(1), mark, buys=True)
    assert code(contracts.check_band, ETH, D("2100.01"), mark, buys=True) == -4016
    assert code(contracts.check_band, ETH, D("1899.99"), mark, buys=False) == -4024


def test_an_order_is_worth_at_least_the_least_notional() -> None:
    contracts.check_notional(ETH, D(2000), D("0.0025"))
    assert code(contracts.check_notional, ETH, D(2000), D("0.002")) == -4164
