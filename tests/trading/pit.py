"""A desk that trades contracts at the real simulated exchange: as `floor`, on margin."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from dealing import ACCOUNT, START
from floor import Floor

from tradebot.market.binance import VENUES, Credentials
from tradebot.market.futures import FuturesClient
from tradebot.market.venue import Side
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal
from tradebot.trading.positions import Position
from tradebot.trading.risk import Prediction

D = Decimal


class Pit(Floor):
    """`prepare` it before the first order, as a session does."""

    desk: Desk
    client: FuturesClient  # type: ignore[assignment]

    def restart(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        self.journal = Journal(self.path)
        self.known = {name: replace(each, contract=True) for name, each in self.known.items()}
        self.client = FuturesClient(
            VENUES["binance-usdm"], clock=self.clock, base_url="http://sim", transport=self.wire, retries=0,
            credentials=Credentials(PAPER_KEY, PAPER_SECRET),
        )  # fmt: skip
        self.desk = Desk(self.client, self.journal, self.clock, self.settings, self.known, "USDT", ACCOUNT)

    async def prepare(self) -> None:
        await self.client.prepare(self.settings.trading.leverage)

    async def enter(self, side: Side, symbol: str = "AUSDT", bar: int = START) -> dict[str, str]:
        _, skipped = await self.desk.enter([Prediction(symbol, side, bar, 0.9, 0.5)], self.marks, 0.55)
        return skipped

    async def held(self, symbol: str = "AUSDT") -> Decimal:
        """What the venue holds, below 0 for a short."""
        balances = await self.client.balances()
        return balances[symbol].free.normalize() if symbol in balances else D(0)

    async def waiting(self) -> list[tuple[str, Decimal, bool]]:
        """Algo orders at the venue: type, quantity, and whether they buy."""
        orders = await self.client.open_orders()
        return sorted((each.type, each.quantity.normalize(), each.side is Side.BUY) for each in orders)

    async def wallet(self) -> Decimal:
        return (await self.client.balances())["USDT"].total

    def over(self) -> list[Position]:
        return self.journal.history(ACCOUNT)


def pit(folder: Path, *symbols: str, **settings: object) -> Pit:
    return Pit(folder, *symbols, **settings)  # type: ignore[arg-type]
