"""The tables: what each takes and refuses."""

from __future__ import annotations

import pytest

from tradebot.config import load
from tradebot.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://[::1", "invalid ipv6 url"),
        ("http://h:99999", "port out of range"),
        ("http://a b", "not an address"),
        ("ftp://h", "not an address"),
        ("http://user:word@h/", "a password does not belong here"),
    ],
)
def test_what_is_no_address_is_told_with_an_example(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:8080") as error:
        load(None, {"venue.base_url": ("--base-url", address), "venue.name": ("--venue", "binance")}, {})
    assert said in str(error.value)


def test_the_built_in_venue_has_no_address() -> None:
    with pytest.raises(ConfigError, match="add --venue binance"):
        load(None, {"venue.base_url": ("--base-url", "http://127.0.0.1:8080")}, {})


def test_a_list_names_nothing_twice_and_is_more_than_commas() -> None:
    settings = load(None, {"market.intervals": ("--intervals", "5m,5m, 1h")}, {})
    assert settings.market.intervals == ("5m", "1h")
    with pytest.raises(ConfigError, match="nothing but commas"):
        load(None, {"universe.symbols": ("--symbols", ",")}, {})


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "soon"])
def test_a_latency_budget_is_more_than_nothing(limit: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.budget_ms\.fetch"):
        load(None, {"run.budget_ms.fetch": ("--set", limit)}, {})
