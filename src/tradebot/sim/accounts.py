"""What a new account starts with, and how far an old one has been played."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from tradebot.errors import MarketError
from tradebot.market.venue import Instrument
from tradebot.sim.books import Books

_DOLLARS = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USD", "EUR")
USUAL = {**dict.fromkeys(_DOLLARS, Decimal(10_000)), "BTC": Decimal(1), "ETH": Decimal(20), "BNB": Decimal(30)}
SEEN = "seen"  # the books' note of the time up to which they were played


def quote_of(instruments: Iterable[Instrument]) -> str:
    """The quote coin that most symbols share; of equals the one listed first. `MarketError` without symbols."""
    coins = Counter(instrument.quote for instrument in instruments)
    if not coins:
        raise MarketError("no symbols on offer")
    return coins.most_common(1)[0][0]


def usual_balance(instruments: Iterable[Instrument]) -> dict[str, Decimal]:
    """What a new account starts with when nobody says otherwise."""
    coin = quote_of(instruments)
    return {coin: USUAL.get(coin, Decimal(10_000))}


def last_seen(account: Path | None) -> int | None:
    """Up to when an account has been played, UTC ms; None for one that is new."""
    if account is None or not account.exists():
        return None
    books = Books(account)
    seen = books.notes().get(SEEN)
    books.close()
    return seen
