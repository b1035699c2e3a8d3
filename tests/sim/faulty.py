"""A small exchange under a plan of faults, reached in process and on a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
from exchanging import NOW, exchange
from starlette.applications import Starlette

from tradebot.clock import SteppedClock
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
from tradebot.sim.engine import Exchange
from tradebot.sim.fault_plan import Plan
from tradebot.sim.fault_prices import FaultyPrices
from tradebot.sim.fault_transport import FaultTransport
from tradebot.sim.faults import Fault
from tradebot.sim.keys import sign
from tradebot.sim.prices import Prices, Synthetic
from tradebot.sim.refusals import Refused
from tradebot.sim.server import make_server
from tradebot.sim.sockets import Door


class Venue:
    """An exchange under a plan, with a clock that stands; `http` is a plain client that reaches it."""

    def __init__(self, prices: Prices | None = None, now: int = NOW) -> None:
        self.clock = SteppedClock(now)
        self.plan = Plan()
        self.prices = FaultyPrices(Synthetic(1, 3) if prices is None else prices, self.plan, self.clock)
        self.exchange: Exchange = exchange(self.prices, self.clock)
        self.app: Starlette = create_app(self.exchange)
        self.http: httpx.AsyncClient

    async def under(self, *faults: Fault, seed: int = 0) -> None:
        """Put a plan in place from outside, as any client can."""
        entries = [{"kind": each.kind, **each.model_dump(mode="json", exclude_defaults=True)} for each in faults]
        reply = await self.http.post("/sim/faults", json={"seed": seed, "fault": entries})
        assert reply.status_code == 200, reply.text

    async def reached(self) -> None:
        """Return when somebody listens again."""
        for _ in range(100):
            with suppress(httpx.TransportError):
                await self.http.get("/sim/clock")
                return
            await asyncio.sleep(0.005)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(f"/api/v3/{path}", params=params)

    async def klines(self, symbol: str = "BTCUSDT", interval: str = "1m", **params: Any) -> list[list[Any]]:
        reply = await self.get("klines", symbol=symbol, interval=interval, **params)
        assert reply.status_code == 200, reply.text
        return list(reply.json())

    async def signed(self, method: str, path: str, **params: Any) -> httpx.Response:
        query = urlencode({"timestamp": self.clock.now(), **params})
        address = f"/api/v3/{path}?{query}&signature={sign(PAPER_SECRET, query.encode())}"
        return await self.http.request(method, address, headers={"X-MBX-APIKEY": PAPER_KEY})

    async def buy(self, name: str = "", **params: Any) -> httpx.Response:
        order = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": 10}
        return await self.signed(
            "POST", "order", **_given(order | {"newClientOrderId": name or uuid4().hex[:20]} | params)
        )

    def executed(self, name: str) -> bool:
        """The truth: whether the books hold an order of this client id."""
        try:
            return self.exchange.order("ETHUSDT", None, name).executed > 0
        except Refused:
            return False

    async def comes_to(self, name: str, executed: bool) -> bool:
        """Whether that is the truth, at once or a moment later."""
        for _ in range(100):
            if self.executed(name) == executed:
                return True
            await asyncio.sleep(0.005)
        return False


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value != ""}


@contextmanager
def listening(venue: Venue) -> Iterator[str]:
    """The venue on a loopback socket, served by uvloop and httptools in a thread of its own; its address."""
    ready = threading.Event()
    server = make_server(venue.app, Door(venue.plan, venue.clock), ready.set)
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            assert ready.wait(10)
            yield url
        finally:
            server.should_exit = True
            thread.join(10)


def in_process(venue: Venue) -> httpx.AsyncClient:
    transport = FaultTransport(httpx.ASGITransport(venue.app), venue.plan, venue.clock)
    return httpx.AsyncClient(transport=transport, base_url="http://sim", timeout=0.3)


def on_socket(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=0.3, trust_env=False)
