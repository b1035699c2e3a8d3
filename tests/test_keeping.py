"""What `fetch` does with the store alone."""

from __future__ import annotations

import numpy as np
import pytest

from tradebot.clock import HOUR, MINUTE
from tradebot.config import Settings
from tradebot.errors import MarketError, UnknownName
from tradebot.keeping import chosen, open_store, outside, prune, status
from tradebot.market.bars import Klines, interval_ms
from tradebot.market.chunks import Stretch

from .conftest import MakeSettings

T0 = 1_516_406_400_000


def bars(interval: str, count: int, skip: int = -1) -> Klines:
    places = [place for place in range(count) if place != skip]
    data = np.outer(np.arange(1, 11) / 7, np.array(places) % 31 + 1.0)
    data[0] = [T0 + place * interval_ms(interval) for place in places]
    data[2], data[3], data[7] = data[1:5].max(axis=0), data[1:5].min(axis=0), places
    return Klines(data)


def stretch(symbol: str, interval: str, count: int, skip: int = -1) -> Stretch:
    klines = bars(interval, count, skip)
    return Stretch((symbol, interval), klines, T0, T0 + (count - 1) * interval_ms(interval))


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """A store with two symbols on 5m, one on 1h."""
    found = make_settings()
    with open_store(found) as store:
        store.add([stretch("BTCUSDT", "5m", 2_000, 7), stretch("ETHUSDT", "5m", 100), stretch("BTCUSDT", "1h", 30)])
    return found


def test_the_status_tells_what_is_stored_without_a_venue(settings: Settings) -> None:
    document = status(settings.model_copy(update={"venue": settings.venue.model_copy(update={"timeout_s": 0.001})}))
    assert [(row["symbol"], row["interval"], row["bars"], row["gaps"]) for row in document["series"]] == [
        ("BTCUSDT", "5m", 1_999, 1),
        ("BTCUSDT", "1h", 30, 0),
        ("ETHUSDT", "5m", 100, 0),
    ]
    first = document["series"][0]
    assert (first["first_open"], first["last_open"]) == (T0, T0 + 1_999 * 5 * MINUTE)
    assert first["spans"] == ((T0, T0 + 1_999 * 5 * MINUTE),)
    assert first["bytes"] > 0
    assert 0 <= first["age_ms"] < HOUR
    assert (document["symbols"], document["bars"]) == (2, 2_129)
    assert document["folder_bytes"] > document["bytes"] == sum(row["bytes"] for row in document["series"])


def test_the_status_of_named_symbols(make_settings: MakeSettings, settings: Settings) -> None:
    document = status(make_settings(universe__symbols="eth*"))
    assert [row["symbol"] for row in document["series"]] == ["ETHUSDT"]


def test_an_empty_store_has_a_status(make_settings: MakeSettings) -> None:
    assert status(make_settings())["series"] == []


def test_what_is_not_stored_is_said_with_what_is(make_settings: MakeSettings, settings: Settings) -> None:
    with open_store(settings) as store:
        with pytest.raises(MarketError, match=r"nothing is stored of what is asked for \(1m\): stored are 5m,1h"):
            chosen(make_settings(market__intervals="1m"), store.status())
        with pytest.raises(MarketError, match="nothing is; `tradebot fetch` first"):
            chosen(settings, [])


def test_pruning_says_what_would_go_and_takes_nothing(settings: Settings) -> None:
    document = prune(settings, {"ETHUSDT"}, T0 + 1_000 * 5 * MINUTE, carry_out=False)
    assert [(row["symbol"], row["interval"], row["bars"], row["whole"]) for row in document["series"]] == [
        ("BTCUSDT", "5m", 1_000, False),
        ("BTCUSDT", "1h", 30, True),
        ("ETHUSDT", "5m", 100, True),
    ]
    assert document["done"] is False
    assert status(settings)["bars"] == 2_129


def test_pruning_drops_named_symbols_and_old_bars(settings: Settings) -> None:
    document = prune(settings, {"ETHUSDT"}, 0, carry_out=True)
    assert (document["done"], document["bars"]) == (True, 100)
    assert {row["symbol"] for row in status(settings)["series"]} == {"BTCUSDT"}
    document = prune(settings, (), T0 + 1_100 * 5 * MINUTE, carry_out=True)
    left = status(settings)["series"][0]
    assert left["interval"] == "5m"
    assert T0 < left["first_open"] <= T0 + 1_100 * 5 * MINUTE
    assert prune(settings, (), T0, carry_out=True)["series"] == []
    with pytest.raises(UnknownName, match="nothing is stored of 'BTCUSD'; did you mean 'BTCUSDT'"):
        prune(settings, {"BTCUSD"}, 0, carry_out=True)


def test_symbols_outside_are_those_that_are_not_inside(settings: Settings) -> None:
    assert outside(settings, ["BTCUSDT", "XRPUSDT"]) == {"ETHUSDT"}
