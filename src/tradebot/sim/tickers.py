"""What the ticker endpoints tell of a symbol."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tradebot.clock import DAY
from tradebot.market.venue import Side
from tradebot.sim.depth import Depth
from tradebot.sim.prices import Day, Prices
from tradebot.sim.replies import amount
from tradebot.sim.tape import identity

_ZERO = amount(Decimal(0))


def book(depth: Depth) -> dict[str, Any]:
    """Best bid and ask with what lies there."""
    (bid, bid_size), (ask, ask_size) = depth.best(Side.BUY), depth.best(Side.SELL)
    return {"bidPrice": amount(bid), "bidQty": amount(bid_size), "askPrice": amount(ask), "askQty": amount(ask_size)}


def mini(symbol: str, day: Day, opened: int, now: int) -> dict[str, Any]:
    """Open, extremes, last and amounts; a symbol that did not trade repeats its last price."""
    return {
        "symbol": symbol, "openPrice": amount(day.open), "highPrice": amount(day.high), "lowPrice": amount(day.low),
        "lastPrice": amount(day.last), "volume": amount(day.volume), "quoteVolume": amount(day.quote_volume),
        "openTime": opened, "closeTime": now, "firstId": identity(opened), "lastId": identity(now),
        "count": day.trades,
    }  # fmt: skip


def changes(day: Day) -> dict[str, Any]:
    """How the price moved, and its average."""
    return {
        "priceChange": amount(day.last - day.open),
        "priceChangePercent": f"{(day.last / day.open - 1) * 100:.3f}",
        "weightedAvgPrice": amount(day.quote_volume / day.volume) if day.volume else _ZERO,
    }


def full(symbol: str, day: Day, depth: Depth, now: int) -> dict[str, Any]:
    """24 hours with changes, average and the book."""
    return {
        "symbol": symbol, **changes(day), "prevClosePrice": amount(day.open), "lastPrice": amount(day.last),
        "lastQty": _ZERO, **book(depth), **mini(symbol, day, now - DAY, now),
    }  # fmt: skip


def window(prices: Prices, symbol: str, start: int, kind: str, now: int) -> dict[str, Any]:
    """From `start` (a whole minute) on, `kind` FULL or MINI; `MarketError` before the first trade."""
    day = Day.since(prices, symbol, start, now)
    told = mini(symbol, day, start, now)
    return told if kind == "MINI" else {"symbol": symbol, **changes(day), **told}
