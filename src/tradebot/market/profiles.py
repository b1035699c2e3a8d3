"""What is particular to each venue of the Binance protocol, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tradebot.registry import Registry


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A request of the protocol with what it costs."""

    path: str
    weight: int
    method: str = "GET"
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What is particular to one venue.

    `kline_weights` are `(largest limit, weight)` pairs, ascending; `weight_limit` is for a calendar
    minute and address, and gives way to what the venue's own `exchangeInfo` says.
    """

    name: str
    base_url: str
    endpoints: Mapping[str, Endpoint]
    kline_weights: tuple[tuple[int, int], ...]
    weight_limit: int

    def kline_weight(self, limit: int) -> int:
        """Weight of a klines request of `limit` bars."""
        return next((weight for most, weight in self.kline_weights if limit <= most), self.kline_weights[-1][1])

    @property
    def kline_limit(self) -> int:
        """The most bars that one request can bring."""
        return self.kline_weights[-1][0]


VENUES: Registry[Profile] = Registry("venue")
VENUES.register("binance")(
    Profile(
        name="binance",
        base_url="https://api.binance.com",
        endpoints={
            "time": Endpoint("/api/v3/time", 1),
            "instruments": Endpoint("/api/v3/exchangeInfo", 20),
            "tickers": Endpoint("/api/v3/ticker/24hr", 80),
            "prices": Endpoint("/api/v3/ticker/price", 4),
            "klines": Endpoint("/api/v3/klines", 2),
            "balances": Endpoint("/api/v3/account", 20, signed=True),
            "submit": Endpoint("/api/v3/order", 1, "POST", signed=True),
            "cancel": Endpoint("/api/v3/order", 1, "DELETE", signed=True),
            "order": Endpoint("/api/v3/order", 4, signed=True),
            "open_orders": Endpoint("/api/v3/openOrders", 80, signed=True),
            "trades": Endpoint("/api/v3/myTrades", 20, signed=True),
        },
        kline_weights=((1_000, 2),),
        weight_limit=6_000,
    )
)
