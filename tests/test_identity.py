"""What another venue is, and what is the same one."""

from __future__ import annotations

import pytest

from tradebot.errors import TradingError, UnknownName
from tradebot.identity import account_key, exchange_file, limits_file, venue_key

from .conftest import MakeSettings


def test_another_address_seed_or_folder_is_another_venue(make_settings: MakeSettings) -> None:
    keys = {
        venue_key(settings)
        for settings in (
            make_settings(),
            make_settings(sim__seed=2),
            make_settings(venue__name="binance"),
            make_settings(venue__name="binance", venue__base_url="http://127.0.0.1:8080"),
            make_settings(venue__name="binance", venue__base_url="http://127.0.0.1:8081/"),
        )
    }
    assert len(keys) == 5
    assert account_key(make_settings(sim__at="")) == "sim-paper"
    assert account_key(make_settings()) == "sim-at-20250602T150000Z-paper"


def test_a_venue_that_is_not_registered_is_told_with_the_nearest_name(make_settings: MakeSettings) -> None:
    with pytest.raises(UnknownName, match=r"unknown venue 'binanc'; did you mean 'binance'\?; or ccxt:NAME"):
        venue_key(make_settings(venue__name="binanc"))
    assert venue_key(make_settings(venue__name="ccxt:kraken")) == "ccxt:kraken"


@pytest.mark.parametrize(
    ("name", "address", "file"),
    [
        ("binance", "", "binance"),
        ("binance", "https://api1.binance.com", "binance"),
        ("binance-usdm", "https://fapi.binance.com", "binance-usdm"),
        ("binance", "https://testnet.binance.vision", "binance@testnet.binance.vision"),
        ("binance", "http://127.0.0.1:8080", "binance@127.0.0.1:8080"),
    ],
)
def test_limits_are_counted_by_venue_and_address(
    make_settings: MakeSettings, name: str, address: str, file: str
) -> None:
    settings = make_settings(venue__name=name, venue__base_url=address)
    assert limits_file(settings) == settings.data_path / "limits" / file


def test_accounts_of_an_exchange_of_our_own_are_a_file_in_a_private_folder(make_settings: MakeSettings) -> None:
    settings = make_settings()
    path = exchange_file(settings, "venue", "sim-1-8080")
    assert path == settings.data_path / "venue" / "sim-1-8080.db"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (settings.data_path / "paper").touch()
    with pytest.raises(TradingError, match=r"accounts in .*paper: .*; mend it or use another --data-dir"):
        exchange_file(settings, "paper", "sim-1")
