"""What is particular to each venue of the Binance protocol, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradebot.clock import DAY, MINUTE, SECOND
from tradebot.market.usage import ORDERS, WEIGHT, Cost, Traffic, Window
from tradebot.registry import Registry


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A request of the protocol with what it costs.

    `exact` is whether the counters in its replies can be believed; of some endpoints the venue says itself
    that they cannot.
    """

    path: str
    weight: int
    method: str = "GET"
    signed: bool = False
    orders: int = 0
    traffic: Traffic = Traffic.READ
    exact: bool = True
    cost: Cost = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cost", Cost(self.weight, 1, self.orders, self.traffic))


@dataclass(frozen=True, slots=True)
class Profile:
    """What is particular to one venue.

    `kline_weights` are `(largest limit, weight)` pairs, ascending; `limits` give way to what the
    venue's own `exchangeInfo` says; bounds of lists are at most `trades_window` (ms) apart; `refusals` are
    codes of its own that say that an order was certainly not executed. A venue without endpoints of an
    account has market data only.
    """

    name: str
    base_url: str
    endpoints: Mapping[str, Endpoint]
    kline_weights: tuple[tuple[int, int], ...]
    limits: tuple[Window, ...]
    testnet_url: str = ""
    trades_window: int = DAY
    refusals: frozenset[int] = frozenset()

    def kline_cost(self, limit: int) -> Cost:
        """Cost of a klines request of `limit` bars."""
        weight = next((weight for most, weight in self.kline_weights if limit <= most), self.kline_weights[-1][1])
        return Cost(weight, traffic=Traffic.BULK)

    @property
    def kline_limit(self) -> int:
        """The most bars that one request can bring."""
        return self.kline_weights[-1][0]

    @property
    def contracts(self) -> bool:
        """Whether what is traded there are contracts, in an account of their kind."""
        return "positions" in self.endpoints

    @property
    def trades(self) -> bool:
        """Whether orders can be sent there."""
        return "submit" in self.endpoints


PREFIX = "ccxt:"
"""What the names of all other venues begin with."""
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
            "klines": Endpoint("/api/v3/klines", 2, traffic=Traffic.BULK),
            "balances": Endpoint("/api/v3/account", 20, signed=True),
            "submit": Endpoint("/api/v3/order", 1, "POST", signed=True, orders=1, traffic=Traffic.ORDER),
            "submit_pair": Endpoint("/api/v3/orderList/oco", 1, "POST", signed=True, orders=2, traffic=Traffic.ORDER),
            "cancel": Endpoint("/api/v3/order", 1, "DELETE", signed=True, traffic=Traffic.ORDER),
            "order": Endpoint("/api/v3/order", 4, signed=True),
            "open_orders": Endpoint("/api/v3/openOrders", 80, signed=True),
            "trades": Endpoint("/api/v3/myTrades", 20, signed=True),
            "rights": Endpoint("/sapi/v1/account/apiRestrictions", 1, signed=True, exact=False),
        },
        kline_weights=((1_000, 2),),
        limits=(Window(WEIGHT, MINUTE, 6_000), Window(ORDERS, 10 * SECOND, 50)),
        testnet_url="https://testnet.binance.vision",
    )
)
VENUES.register("binance-usdm")(
    Profile(
        name="binance-usdm",
        base_url="https://fapi.binance.com",
        endpoints={
            "time": Endpoint("/fapi/v1/time", 1),
            "instruments": Endpoint("/fapi/v1/exchangeInfo", 1),
            "tickers": Endpoint("/fapi/v1/ticker/24hr", 40),
            "prices": Endpoint("/fapi/v2/ticker/price", 2, exact=False),
            "klines": Endpoint("/fapi/v1/klines", 10, traffic=Traffic.BULK),
            "wallet": Endpoint("/fapi/v3/balance", 5, signed=True),
            "positions": Endpoint("/fapi/v3/positionRisk", 5, signed=True),
            "account": Endpoint("/fapi/v1/accountConfig", 5, signed=True),
            "terms": Endpoint("/fapi/v1/symbolConfig", 5, signed=True),
            "sides": Endpoint("/fapi/v1/positionSide/dual", 30, signed=True),
            "set_sides": Endpoint("/fapi/v1/positionSide/dual", 1, "POST", signed=True, traffic=Traffic.ORDER),
            "set_margin": Endpoint("/fapi/v1/marginType", 1, "POST", signed=True, traffic=Traffic.ORDER),
            "set_leverage": Endpoint("/fapi/v1/leverage", 1, "POST", signed=True, traffic=Traffic.ORDER),
            "submit": Endpoint("/fapi/v1/order", 0, "POST", signed=True, orders=1, traffic=Traffic.ORDER),
            "submit_algo": Endpoint("/fapi/v1/algoOrder", 0, "POST", signed=True, orders=1, traffic=Traffic.ORDER),
            "cancel": Endpoint("/fapi/v1/order", 1, "DELETE", signed=True, traffic=Traffic.ORDER),
            "cancel_algo": Endpoint("/fapi/v1/algoOrder", 1, "DELETE", signed=True, traffic=Traffic.ORDER),
            "order": Endpoint("/fapi/v1/order", 1, signed=True),
            "algo": Endpoint("/fapi/v1/algoOrder", 1, signed=True),
            "open_orders": Endpoint("/fapi/v1/openOrders", 40, signed=True),
            "open_algos": Endpoint("/fapi/v1/openAlgoOrders", 40, signed=True),
            "trades": Endpoint("/fapi/v1/userTrades", 5, signed=True),
            "income": Endpoint("/fapi/v1/income", 30, signed=True),
        },
        kline_weights=((99, 1), (499, 2), (1_000, 5), (1_500, 10)),
        limits=(Window(WEIGHT, MINUTE, 2_400), Window(ORDERS, 10 * SECOND, 300)),
        testnet_url="https://demo-fapi.binance.com",
        trades_window=7 * DAY,
        refusals=frozenset(
            {
                *range(-4599, -4399),  # closed to this account, or for what only reduces
                -2018,
                -2020,
                -2021,
                -2022,
                -2025,
                -2027,
                -2028,
                -4001,
                -4002,
                -4016,
                -4024,
                -4028,
                -4045,
                -4060,
                -4061,
                -4062,
                -4120,
                -4130,
                -4136,
                -4137,
                -4138,
                -4141,
            }
        ),
    )
)
