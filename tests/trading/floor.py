"""A desk at the real simulated exchange: prices by hand, faults by plan, everything else as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import httpx
from dealing import ACCOUNT, MINUTE, START, instrument

from tradebot.clock import SteppedClock
from tradebot.config import Settings
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.venue import Instrument, Order, OrderType, Side
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
from tradebot.sim.books import Entry, Slice
from tradebot.sim.engine import Exchange
from tradebot.sim.fault_plan import Plan, parse_spec
from tradebot.sim.fault_prices import FaultyPrices
from tradebot.sim.fault_transport import FaultTransport
from tradebot.sim.filters import Limits
from tradebot.sim.prices import Marked
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal
from tradebot.trading.orders import Duty, Outcome
from tradebot.trading.positions import Position
from tradebot.trading.risk import Prediction

D = Decimal


class Watching(httpx.AsyncBaseTransport):
    """Counts what goes out, and lets a test do something before each request."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.sent: list[tuple[str, str]] = []
        self.before: Callable[[str, str], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.method, request.url.path.removeprefix("/api/v3/")
        self.sent.append(name)
        if self.before is not None:
            await self.before(*name)
        return await self.inner.handle_async_request(request)


class Floor:
    """`restart` makes client, desk and journal anew; the exchange goes on."""

    def __init__(self, folder: Path, *symbols: str, price: str = "100", spread: str = "0", **trading: object) -> None:
        names = symbols or ("AUSDT", "BUSDT")
        self.path = folder / "state.db"
        self.clock = SteppedClock(START)
        self.rules: dict[str, Instrument] = {name: instrument(name, tick="0.01") for name in names}
        self.known = dict(self.rules)
        self.marks = dict.fromkeys(names, D(price))
        self.source = Marked(self.rules)
        self.source.mark(self.marks)
        self.plan = Plan()
        prices = FaultyPrices(self.source, self.plan, self.clock)
        self.exchange = Exchange(
            prices, self.clock, None, fee=D("0.001"), spread=D(spread), start={"USDT": D(10_000)}
        )  # fmt: skip
        self.wire = Watching(FaultTransport(httpx.ASGITransport(create_app(self.exchange)), self.plan, self.clock))
        self.settings = Settings.model_validate({"trading": {"mode": "paper", **trading}})
        self.restart()

    def restart(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        self.journal = Journal(self.path)
        self.client = BinanceClient(
            VENUES["binance"], clock=self.clock, base_url="http://sim", transport=self.wire, retries=0,
            credentials=Credentials(PAPER_KEY, PAPER_SECRET),
        )  # fmt: skip
        self.desk = Desk(
            self.client, self.journal, self.clock, self.settings, self.known, "USDT", ACCOUNT, renew=self.renew
        )

    async def renew(self) -> None:
        known = dict(await self.client.instruments())
        self.known.clear()
        self.known.update(known)

    def fault(self, *specs: str) -> None:
        self.plan.replace([parse_spec(spec) for spec in specs])

    def price(self, value: str, symbol: str = "AUSDT") -> None:
        self.marks[symbol] = D(value)
        self.source.mark({symbol: D(value)})

    def wait(self, ms: int = MINUTE) -> None:
        self.clock.advance(self.clock.now() + ms)

    async def buy(self, *symbols: str, bar: int = START) -> dict[str, str]:
        predictions = [Prediction(symbol, Side.BUY, bar, 0.9, 0.5) for symbol in symbols or ("AUSDT",)]
        _, skipped = await self.desk.enter(predictions, self.marks, 0.55)
        return skipped

    async def cycle(self, price: str = "", symbol: str = "AUSDT") -> list[Outcome]:
        """A minute later, perhaps at another price."""
        self.wait()
        if price:
            self.price(price, symbol)
        return await self.desk.monitor(self.marks)

    @property
    def position(self) -> Position:
        (held,) = self.desk.positions()
        return held

    def guards(self) -> list[tuple[str, Decimal, Decimal]]:
        """What the venue holds: type, what is left, and its price (of a stop: that which triggers it)."""
        return [
            (str(each.type), each.left.normalize(), (each.stop_price or each.price).normalize())
            for each in self.exchange.open_orders()
            if each.side is Side.SELL
        ]

    def orders(self, duty: Duty | None = None) -> list[Outcome]:
        return [each for each in self.journal.orders(ACCOUNT) if duty in {None, each.duty}]

    def told(self) -> list[tuple[str, str]]:
        return [(each.intent, str(each.state)) for each in self.orders()]

    def sold(self, symbol: str = "AUSDT") -> Decimal:
        return sum((e.executed for e in self.exchange_orders(symbol) if e.side is Side.SELL), D(0))

    def exchange_orders(self, symbol: str = "AUSDT") -> list[Entry]:
        return self.exchange.orders(Slice(symbol, limit=1000))

    def full(self) -> None:
        """The venue takes one stop of a symbol, and somebody has placed it."""
        self.exchange.limits = Limits(algo_orders=1)
        self.exchange.place(Order("AUSDT", Side.BUY, "somebody", OrderType.STOP_LOSS, D("0.1"), stop_price=D(200)))

    def agrees(self) -> None:
        """What the journal holds is what was executed, and its rows follow from its facts."""
        for symbol in self.marks:
            held = sum((p.quantity for p in self.journal.positions(ACCOUNT) if p.symbol == symbol), D(0))
            total = self.exchange.balances().get(symbol.removesuffix("USDT"))
            assert held == (total.total if total else 0)
        every = self.journal.positions(ACCOUNT) + self.journal.history(ACCOUNT)
        assert 10_000 - self.exchange.balances()["USDT"].total == sum(p.cost - p.proceeds for p in every)
        rows = self.rows()
        self.journal.rebuild()
        assert self.rows() == rows

    def rows(self) -> list[object]:
        tables = ("orders", "positions", "fills")
        return [row for t in tables for row in self.journal._db.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3")]
