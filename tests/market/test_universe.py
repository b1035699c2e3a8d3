"""Which symbols a cycle looks at."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from tradebot.config import Universe as Wanted
from tradebot.errors import MarketError, UnknownName
from tradebot.market.universe import choose, common_quote
from tradebot.market.venue import Instrument, Ticker

LISTED = {
    each.symbol: each
    for each in (
        Instrument("ADABTC", "ADA", "BTC"),
        Instrument("ETHBTC", "ETH", "BTC"),
        Instrument("LTCBTC", "LTC", "BTC", status="HALT"),
        Instrument("XRPBTC", "XRP", "BTC"),
        Instrument("XRPETH", "XRP", "ETH"),
    )
}


class Statistics:
    """A feed that only knows how much was traded."""

    def __init__(self) -> None:
        self.asked = 0

    async def tickers(self) -> Mapping[str, Ticker]:
        self.asked += 1
        one = Decimal(1)
        volumes = {"ADABTC": 5.0, "ETHBTC": 9.0, "XRPBTC": 5.0}
        return {symbol: Ticker(symbol, one, one, one, volume) for symbol, volume in volumes.items()}


async def test_the_quote_coin_is_found_from_what_is_listed() -> None:
    universe = await choose(Wanted(), LISTED, Statistics())  # type: ignore[arg-type]
    assert universe.quote == "BTC"
    assert universe.symbols == ("ADABTC", "ETHBTC", "XRPBTC")


async def test_statistics_are_not_asked_for_where_nothing_is_left_out() -> None:
    feed = Statistics()
    await choose(Wanted(top=3), LISTED, feed)  # type: ignore[arg-type]
    assert feed.asked == 0


async def test_the_most_traded_come_first_and_a_tie_goes_by_name() -> None:
    universe = await choose(Wanted(top=2), LISTED, Statistics())  # type: ignore[arg-type]
    assert universe.symbols == ("ETHBTC", "ADABTC")


async def test_excluded_and_halted_symbols_are_not_looked_at() -> None:
    universe = await choose(Wanted(exclude=("ethbtc",)), LISTED, Statistics())  # type: ignore[arg-type]
    assert universe.symbols == ("ADABTC", "XRPBTC")


async def test_a_fixed_list_keeps_its_order_and_says_what_it_leaves_out() -> None:
    wanted = Wanted(symbols=("xrpbtc", "LTCBTC", "ADABTC", "XRPETH", "XRPBTC"))
    universe = await choose(wanted, LISTED, Statistics())  # type: ignore[arg-type]
    assert universe.symbols == ("XRPBTC", "ADABTC")
    assert universe.skipped == {"LTCBTC": "venue status HALT", "XRPETH": "quote coin is ETH, not BTC"}


async def test_an_unknown_symbol_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown symbol 'ETHBCT'; did you mean 'ETHBTC'"):
        await choose(Wanted(symbols=("ETHBCT",)), LISTED, Statistics())  # type: ignore[arg-type]


async def test_a_quote_coin_that_nobody_trades_is_an_error() -> None:
    with pytest.raises(MarketError, match="no symbol with quote coin 'EUR'"):
        await choose(Wanted(quote="eur"), LISTED, Statistics())  # type: ignore[arg-type]


def test_a_tie_of_quote_coins_goes_to_the_first_in_the_alphabet() -> None:
    assert common_quote([LISTED["XRPETH"], LISTED["ADABTC"]]) == "BTC"


async def test_a_list_of_which_nothing_can_be_traded_is_an_error_with_its_reason() -> None:
    with pytest.raises(MarketError, match="LTCBTC: venue status HALT"):
        await choose(Wanted(symbols=("LTCBTC",)), LISTED, Statistics())  # type: ignore[arg-type]


async def test_an_excluded_symbol_is_left_out_of_a_fixed_list_too() -> None:
    universe = await choose(Wanted(symbols=("ADABTC", "ETHBTC"), exclude=("adabtc",)), LISTED, Statistics())  # type: ignore[arg-type]
    assert universe.skipped == {"ADABTC": "excluded by universe.exclude"}
