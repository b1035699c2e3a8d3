"""Which symbols a cycle looks at."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.config import Universe as Wanted
from tradebot.errors import MarketError, UnknownName
from tradebot.market.universe import (
    SLACK,
    Candidates,
    Universe,
    candidates,
    choose,
    common_quote,
    decided,
    failing,
    settle,
    spread,
    thinned,
)
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


def ticker(symbol: str, volume: float, bid: str = "1", ask: str = "1") -> Ticker:
    return Ticker(symbol, Decimal(1), Decimal(bid), Decimal(ask), volume)


class Statistics:
    """A feed that only knows how much was traded."""

    def __init__(self) -> None:
        self.asked = 0

    async def tickers(self) -> Mapping[str, Ticker]:
        self.asked += 1
        return {name: ticker(name, volume) for name, volume in {"ADABTC": 5.0, "ETHBTC": 9.0, "XRPBTC": 5.0}.items()}


async def test_the_quote_coin_is_found_from_what_is_listed() -> None:
    universe = await choose(Wanted(), LISTED, Statistics())
    assert universe.quote == "BTC"
    assert universe.symbols == ("ADABTC", "ETHBTC", "XRPBTC")


async def test_statistics_are_not_asked_for_where_nothing_is_left_out() -> None:
    feed = Statistics()
    await choose(Wanted(top=3), LISTED, feed)
    assert feed.asked == 0


async def test_the_most_traded_come_first_and_a_tie_goes_by_name() -> None:
    universe = await choose(Wanted(top=2), LISTED, Statistics())
    assert universe.symbols == ("ETHBTC", "ADABTC")


async def test_excluded_and_halted_symbols_are_not_looked_at() -> None:
    universe = await choose(Wanted(exclude=("ethbtc",)), LISTED, Statistics())
    assert universe.symbols == ("ADABTC", "XRPBTC")


async def test_a_fixed_list_keeps_its_order_and_says_what_it_leaves_out() -> None:
    wanted = Wanted(symbols=("xrpbtc", "LTCBTC", "ADABTC", "XRPETH", "XRPBTC"))
    universe = await choose(wanted, LISTED, Statistics())
    assert universe.symbols == ("XRPBTC", "ADABTC")
    assert universe.skipped == {"LTCBTC": "venue status HALT", "XRPETH": "quote coin is ETH, not BTC"}


async def test_an_unknown_symbol_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown symbol 'ETHBCT'; did you mean 'ETHBTC'"):
        await choose(Wanted(symbols=("ETHBCT",)), LISTED, Statistics())


async def test_a_quote_coin_that_nobody_trades_is_an_error() -> None:
    with pytest.raises(MarketError, match="no symbol with quote coin 'EUR'"):
        await choose(Wanted(quote="eur"), LISTED, Statistics())


async def test_a_venue_on_which_nothing_trades_yet_is_an_error() -> None:
    with pytest.raises(MarketError, match="no symbol is trading at this time of the venue's clock"):
        await choose(Wanted(), {}, Statistics())


def test_a_tie_of_quote_coins_goes_to_the_first_in_the_alphabet() -> None:
    assert common_quote([LISTED["XRPETH"], LISTED["ADABTC"]]) == "BTC"


async def test_a_list_of_which_nothing_can_be_traded_is_an_error_with_its_reason() -> None:
    with pytest.raises(MarketError, match="LTCBTC: venue status HALT"):
        await choose(Wanted(symbols=("LTCBTC",)), LISTED, Statistics())


async def test_an_excluded_symbol_is_left_out_of_a_fixed_list_too() -> None:
    universe = await choose(Wanted(symbols=("ADABTC", "ETHBTC"), exclude=("adabtc",)), LISTED, Statistics())
    assert universe.skipped == {"ADABTC": "excluded by universe.exclude"}


# --- patterns


async def test_patterns_name_who_may_be_in_and_the_most_traded_of_them_are() -> None:
    wanted = Wanted(symbols=("*btc", "xrp?th"), exclude=("A*",), top=1)
    known = candidates(wanted, LISTED)
    assert known.symbols == ("ETHBTC", "XRPBTC")
    assert known.unfit["ADABTC"] == "excluded by universe.exclude"
    assert known.unfit["XRPETH"] == "quote coin is ETH, not BTC"
    assert (await choose(wanted, LISTED, Statistics())).symbols == ("ETHBTC",)


def test_the_quote_coin_is_that_of_most_matches() -> None:
    assert candidates(Wanted(symbols=("*ETH",)), LISTED).quote == "ETH"


def test_a_pattern_that_finds_nothing_is_told() -> None:
    with pytest.raises(UnknownName, match=r"no symbol matches '\*EUR'"):
        candidates(Wanted(symbols=("*BTC", "*eur")), LISTED)


def test_a_symbol_of_two_coins_may_be_written_with_a_slash() -> None:
    listed = {"BTC-EUR": Instrument("BTC-EUR", "BTC", "EUR")}
    assert candidates(Wanted(symbols=("btc/eur",)), listed).symbols == ("BTC-EUR",)


def test_a_symbol_of_the_list_that_was_known_before_may_be_gone() -> None:
    wanted = Wanted(symbols=("ADABTC", "OLDBTC"))
    with pytest.raises(UnknownName, match="OLDBTC"):
        candidates(wanted, LISTED)
    known = candidates(wanted, LISTED, ["OLDBTC"])
    assert known.symbols == ("ADABTC",)
    assert known.unfit == {"OLDBTC": "no longer listed"}


# --- filters


@pytest.mark.parametrize(
    ("traded", "slack", "reason"),
    [
        (ticker("A", 100.0, "99", "101"), 1.0, None),
        (ticker("A", 99.0), 1.0, "24 h volume 99 is below universe.min_volume = 100"),
        (ticker("A", 99.0), SLACK, None),
        (ticker("A", 80.0), SLACK, "24 h volume 80 is below universe.min_volume = 100"),
        (ticker("A", 100.0, "98", "102"), 1.0, "spread 4.000% is above universe.max_spread = 2.000%"),
        (ticker("A", 100.0, "98.9", "101.1"), SLACK, None),
        (ticker("A", 100.0, "0", "1"), SLACK, "spread inf% is above universe.max_spread = 2.000%"),
        (None, 1.0, "no 24 h statistics"),
    ],
)
def test_a_filter_gives_its_reason_and_is_milder_to_who_is_in(
    traded: Ticker | None, slack: float, reason: str | None
) -> None:
    assert failing(Wanted(min_volume=100.0, max_spread=0.02), traded, slack) == reason


def test_the_spread_is_a_share_of_the_middle() -> None:
    assert spread(ticker("A", 1.0, "99", "101")) == pytest.approx(0.02)


def test_filters_that_nobody_passes_are_an_error_with_an_example() -> None:
    with pytest.raises(MarketError, match=r"no symbol of 1 passes.*A: 24 h volume 5"):
        settle(Wanted(min_volume=10.0), (), Candidates(("A",), "X"), {"A": ticker("A", 5.0)})


# --- who stays

NAMES = [f"C{number:02}" for number in range(40)]
ALL = Candidates(tuple(NAMES), "X")
VOLUMES = st.lists(st.floats(0, 1e9), min_size=40, max_size=40)
MEMBERS = st.sets(st.sampled_from(NAMES))


def traded(volumes: list[float]) -> dict[str, Ticker]:
    return {name: ticker(name, volume) for name, volume in zip(NAMES, volumes, strict=True)}


def chosen(top: int, old: set[str] | tuple[str, ...], volumes: list[float]) -> tuple[str, ...]:
    return settle(Wanted(top=top), old, ALL, traded(volumes))[0]


@given(st.integers(1, 50), MEMBERS, VOLUMES, st.randoms(use_true_random=False))
def test_size_order_and_choice_do_not_depend_on_the_order_of_what_is_given(
    top: int, old: set[str], volumes: list[float], random: object
) -> None:
    symbols = chosen(top, old, volumes)
    assert len(symbols) == min(top, 40)
    assert list(symbols) == sorted(symbols, key=lambda s: (-volumes[NAMES.index(s)], s))
    shuffled = list(NAMES)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    tickers = traded(volumes)
    again = settle(
        Wanted(top=top),
        sorted(old, reverse=True),
        Candidates(tuple(shuffled), "X"),
        {name: tickers[name] for name in shuffled},
    )
    assert again[0] == symbols


@given(st.integers(1, 50), MEMBERS, VOLUMES)
def test_what_was_chosen_is_chosen_again_of_the_same_numbers(top: int, old: set[str], volumes: list[float]) -> None:
    symbols = chosen(top, old, volumes)
    assert chosen(top, symbols, volumes) == symbols


@given(st.integers(5, 30), st.lists(st.floats(0.96, 1.04), min_size=40, max_size=40))
def test_small_noise_changes_nobody(top: int, noise: list[float]) -> None:
    # Ranks are 8 % of volume apart, so noise of 4 % can make neighbours change places and no more.
    volumes = [1e6 * 1.085**-place for place in range(40)]
    before = chosen(top, (), volumes)
    assert set(chosen(top, before, [v * n for v, n in zip(volumes, noise, strict=True)])) == set(before)


@given(st.integers(1, 30), MEMBERS, VOLUMES)
def test_who_is_out_was_far_behind_or_there_was_no_place(top: int, old: set[str], volumes: list[float]) -> None:
    symbols = chosen(top, old, volumes)
    ranking = sorted(NAMES, key=lambda s: (-volumes[NAMES.index(s)], s))
    near = set(ranking[: int(top * SLACK)])
    stayers = [s for s in ranking if s in old and s in near]
    assert set(stayers[:top]) <= set(symbols)
    best_outsider = next((s for s in ranking if s not in symbols and s not in old), None)
    newcomers = [s for s in symbols if s not in old]
    if best_outsider and newcomers:
        assert ranking.index(newcomers[-1]) < ranking.index(best_outsider)


def test_a_member_stays_behind_the_last_place_and_leaves_well_behind_it() -> None:
    volumes = [float(100 - place) for place in range(40)]
    old = Universe((*NAMES[:9], NAMES[11]), "X")
    assert decided(Wanted(top=10), old, ALL, traded(volumes)).joined == ()
    far = Universe((*NAMES[:9], NAMES[12]), "X")
    new = decided(Wanted(top=10), far, ALL, traded(volumes))
    assert new.joined == (NAMES[9],)
    assert new.left == {NAMES[12]: "rank 13 by 24 h volume"}


def test_each_who_left_has_the_reason() -> None:
    old = Universe(("ADABTC", "ETHBTC", "LTCBTC", "OLDBTC", "XRPBTC"), "BTC")
    wanted = Wanted(min_volume=6.0)
    tickers = {name: ticker(name, volume) for name, volume in {"ADABTC": 1.0, "ETHBTC": 9.0, "XRPBTC": 5.0}.items()}
    new = decided(wanted, old, candidates(wanted, LISTED), tickers, {})
    assert new.symbols == ("ETHBTC", "XRPBTC")
    assert new.left == {
        "ADABTC": "24 h volume 1 is below universe.min_volume = 6",
        "LTCBTC": "venue status HALT",
        "OLDBTC": "no longer listed",
    }


def test_halted_and_delisted_symbols_leave_without_statistics() -> None:
    old = Universe(("ETHBTC", "LTCBTC", "OLDBTC"), "BTC")
    new = thinned(Wanted(), old, LISTED)
    assert new.symbols == ("ETHBTC",)
    assert new.left == {"LTCBTC": "venue status HALT", "OLDBTC": "no longer listed"}


def test_a_fixed_list_is_not_ranked_nor_filtered() -> None:
    wanted = Wanted(symbols=("XRPBTC", "ADABTC"), top=1, min_volume=1e9)
    new = decided(wanted, None, candidates(wanted, LISTED), None)
    assert new.symbols == ("XRPBTC", "ADABTC")
