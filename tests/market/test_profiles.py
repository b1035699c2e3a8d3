"""Venues as data: one set of checks for every profile."""

from __future__ import annotations

import pytest

from tradebot.market.profiles import VENUES, Profile


@pytest.mark.parametrize("name", VENUES)
def test_every_profile_is_complete(name: str) -> None:
    profile: Profile = VENUES[name]
    assert profile.name == name
    assert profile.base_url.startswith("https://")
    assert {"time", "instruments", "tickers", "prices", "klines"} <= profile.endpoints.keys()
    limits = [limit for limit, _ in profile.kline_weights]
    assert limits == sorted(limits)
    assert profile.kline_weight(1) <= profile.kline_weight(profile.kline_limit) <= profile.weight_limit


def test_the_weight_of_klines_follows_the_limit() -> None:
    steps = Profile("x", "https://x", {}, ((99, 1), (499, 2), (1000, 5), (1500, 10)), 2400)
    assert [steps.kline_weight(n) for n in (1, 99, 100, 500, 1500, 9999)] == [1, 1, 2, 5, 10, 10]
