from __future__ import annotations

from pathlib import Path

import pytest
from exchanging import NOW, D, exchange, instrument, marked

from tradebot.clock import SteppedClock
from tradebot.errors import MarketError
from tradebot.market.venue import Order, OrderType, Side
from tradebot.sim.accounts import last_seen, quote_of, usual_balance


@pytest.mark.parametrize(
    ("quote", "amount"), [("USDT", 10_000), ("BTC", 1), ("ETH", 20), ("BNB", 30), ("EUR", 10_000), ("TRY", 10_000)]
)
def test_a_new_account_has_a_usual_amount_of_the_usual_coin(quote: str, amount: int) -> None:
    assert usual_balance([instrument("XMR", quote), instrument("ADA", quote), instrument("LTC", "DAI")]) == {
        quote: amount
    }


def test_the_quote_coin_is_the_one_that_most_symbols_share() -> None:
    assert quote_of([instrument("A", "BTC"), instrument("B", "ETH"), instrument("C", "ETH")]) == "ETH"
    with pytest.raises(MarketError):
        quote_of([])


def test_what_is_paused_was_played_up_to_that_time(tmp_path: Path) -> None:
    path = tmp_path / "account.db"
    assert last_seen(None) is last_seen(path) is None
    prices, clock = marked(), SteppedClock(NOW)
    venue = exchange(prices, clock, path)
    assert last_seen(path) is None
    venue.place(Order("ETHUSDT", Side.BUY, "a", OrderType.LIMIT, D(1), price=D(1900), time_in_force="GTC"))
    prices.mark({"ETHUSDT": D(1890)})
    clock.advance(NOW + 60_000)
    venue.pause()
    venue.close()
    assert last_seen(path) == NOW + 60_000
    again = exchange(marked(), SteppedClock(NOW + 60_000), path)
    assert again.order("ETHUSDT", None, "a").status == "FILLED"
    again.close()
