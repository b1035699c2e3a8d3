"""Venues as data: one set of checks for every profile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tradebot.market.profiles import VENUES, Profile
from tradebot.market.usage import WEIGHT, Traffic


@pytest.mark.parametrize("name", VENUES)
def test_every_profile_is_complete(name: str) -> None:
    profile: Profile = VENUES[name]
    assert profile.name == name
    assert profile.base_url.startswith("https://")
    assert {"time", "instruments", "tickers", "prices", "klines"} <= profile.endpoints.keys()
    pages = [limit for limit, _ in profile.kline_weights]
    assert pages == sorted(pages)
    most = min(window.most for window in profile.limits if window.what == WEIGHT)
    assert profile.kline_cost(1).weight <= profile.kline_cost(profile.kline_limit).weight <= most
    for endpoint in profile.endpoints.values():
        assert endpoint.cost.weight <= most


@pytest.mark.parametrize("name", VENUES)
def test_what_changes_the_account_is_an_order_and_signed_and_nothing_else_is(name: str) -> None:
    for what, endpoint in VENUES[name].endpoints.items():
        assert (endpoint.method != "GET") == (endpoint.traffic is Traffic.ORDER)
        assert endpoint.signed or endpoint.traffic is not Traffic.ORDER
        assert bool(endpoint.cost.orders) == what.startswith("submit")


def test_the_cost_of_klines_follows_the_limit() -> None:
    usdm = VENUES["binance-usdm"]
    pages = (1, 99, 100, 499, 500, 1000, 1001, 1500, 9999)
    assert [usdm.kline_cost(n).weight for n in pages] == [1, 1, 2, 2, 5, 5, 10, 10, 10]
    assert {usdm.kline_cost(n).traffic for n in pages} == {Traffic.BULK}


def test_spot_and_futures_take_orders_and_a_venue_without_an_account_does_not() -> None:
    assert [VENUES[name].trades for name in ("binance", "binance-usdm")] == [True, True]
    assert not replace(VENUES["binance"], endpoints={}).trades
