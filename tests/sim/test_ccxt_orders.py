"""A client that many people trade with, and that knows nothing of us: every amount it reads agrees with the books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt
import httpx
import pytest

from tests.conftest import MakeSettings, served
from tradebot.clock import HOUR
from tradebot.config import Settings
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET

SYMBOL, COIN = "ETH/USDT", "ETHUSDT"
OPTIONS = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}


class Sitting:
    """The client, and the exchange's own log to compare with."""

    def __init__(self, client: Any, control: httpx.AsyncClient) -> None:
        self.client = client
        self.control = control

    async def wait(self, ms: int) -> None:
        """Let the venue's time pass; the client learns of it as of a clock that drifts."""
        assert (await self.control.post("/sim/clock", json={"advance": ms})).status_code == 200
        await self.client.load_time_difference()

    async def last(self) -> float:
        return float((await self.control.get("/api/v3/ticker/price", params={"symbol": COIN})).json()["price"])

    async def agrees(self) -> list[str]:
        """Compare all that the client reads with the log; the statuses of all orders, oldest first."""
        log = (await self.control.get("/sim/log")).json()
        trades = [each["trade"] for each in log if each["event"] == "TRADE"]
        told = await self.client.fetch_my_trades(SYMBOL)
        assert [_read(each) for each in told] == [_written(each) for each in trades]
        orders = await self.client.fetch_orders(SYMBOL)
        for order in orders:
            own = [each for each in told if each["order"] == order["id"]]
            assert order["filled"] == pytest.approx(sum(each["amount"] for each in own))
            assert order["cost"] == pytest.approx(sum(each["cost"] for each in own))
            assert order["amount"] == pytest.approx(order["filled"] + order["remaining"])
            assert (await self.client.fetch_order(order["id"], SYMBOL)) == order
        opened = await self.client.fetch_open_orders(SYMBOL)
        assert [each["id"] for each in opened] == [each["id"] for each in orders if each["status"] == "open"]
        await self._balances_agree(trades)
        return [order["status"] for order in orders]

    async def _balances_agree(self, trades: list[dict[str, Any]]) -> None:
        held = {"USDT": Decimal(10_000), "ETH": Decimal(0)}
        for each in trades:
            sign = 1 if each["isBuyer"] else -1
            held["ETH"] += sign * Decimal(each["qty"])
            held["USDT"] -= sign * Decimal(each["quoteQty"])
            held[each["commissionAsset"]] -= Decimal(each["commission"])
        told = await self.client.fetch_balance()
        assert {"BNB", "BTC"} < told["total"].keys(), "coins that are not held are told too"
        assert told["total"] == {coin: float(held.get(coin, 0)) for coin in told["total"]}


def _read(trade: dict[str, Any]) -> tuple[Any, ...]:
    maker = trade["takerOrMaker"] == "maker"
    fee = trade["fee"]
    return trade["id"], trade["side"], trade["price"], trade["amount"], maker, fee["cost"], fee["currency"]


def _written(trade: dict[str, Any]) -> tuple[Any, ...]:
    side = "buy" if trade["isBuyer"] else "sell"
    amounts = float(trade["price"]), float(trade["qty"])
    return str(trade["id"]), side, *amounts, trade["isMaker"], float(trade["commission"]), trade["commissionAsset"]


@asynccontextmanager
async def sitting(settings: Settings, **options: Any) -> AsyncIterator[Sitting]:
    async with served(settings) as address, httpx.AsyncClient(base_url=address) as control:
        client = ccxt.binance({"apiKey": PAPER_KEY, "secret": PAPER_SECRET, "options": OPTIONS | options})
        # A clock that stands still must not be waited for.
        client.enableRateLimit = not options
        api = client.urls["api"]
        api |= {name: url.replace("https://api.binance.com", address) for name, url in api.items() if type(url) is str}
        try:
            if options:
                await client.load_time_difference()
            await client.load_markets()
            yield Sitting(client, control)
        finally:
            await client.close()


async def oco(desk: Sitting, quantity: str, above: float, below: float) -> Any:
    """The client has no word of its own for it, but the path."""
    return await desk.client.private_post_orderlist_oco({
        "symbol": COIN, "side": "SELL", "quantity": quantity, "aboveType": "LIMIT_MAKER",
        "abovePrice": f"{above:.2f}", "belowType": "STOP_LOSS_LIMIT", "belowStopPrice": f"{below:.2f}",
        "belowPrice": f"{below * 0.99:.2f}", "belowTimeInForce": "GTC",
    })  # fmt: skip


async def test_with_nothing_changed_but_its_address_it_trades(make_settings: MakeSettings) -> None:
    async with sitting(make_settings(sim__clock="real", sim__at="")) as desk:
        market = desk.client.market(SYMBOL)
        assert (market["active"], market["spot"], market["limits"]["cost"]["min"]) == (True, True, 5.0)
        before = (await desk.client.fetch_balance())["USDT"]
        bought = await desk.client.create_order(SYMBOL, "market", "buy", 1)
        assert (bought["status"], bought["filled"]) == ("closed", 1.0)
        assert bought["fee"] == {"currency": "ETH", "cost": 0.001}
        after = await desk.client.fetch_balance()
        assert (before, after["USDT"]["free"]) == (
            {"free": 10_000.0, "used": 0.0, "total": 10_000.0}, pytest.approx(10_000 - bought["cost"])
        )  # fmt: skip
        last = await desk.last()
        limit = await desk.client.create_order(SYMBOL, "limit", "buy", 0.5, round(last * 0.8, 2))
        stop = await desk.client.create_order(
            SYMBOL, "limit", "sell", 0.25, round(last * 0.7, 2), {"stopPrice": round(last * 0.8, 2)}
        )
        assert (limit["status"], stop["status"], stop["triggerPrice"]) == ("open", "open", round(last * 0.8, 2))
        made = await oco(desk, "0.25", last * 1.3, last * 0.7)
        assert [report["status"] for report in made["orderReports"]] == ["NEW", "NEW"]
        locked = await desk.client.fetch_balance()
        assert (locked["USDT"]["used"], locked["ETH"]["used"]) == (pytest.approx(0.5 * round(last * 0.8, 2)), 0.5)
        assert await desk.agrees() == ["closed", "open", "open", "open", "open"]
        gone = await desk.client.cancel_order(limit["id"], SYMBOL)
        assert (gone["id"], gone["status"], gone["filled"]) == (limit["id"], "canceled", 0.0)
        with pytest.raises(ccxt.OrderNotFound):
            await desk.client.cancel_order(limit["id"], SYMBOL)
        with pytest.raises(ccxt.InsufficientFunds):
            await desk.client.create_order(SYMBOL, "limit", "sell", 0.75, round(last * 1.1, 2))
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            await desk.client.create_order(SYMBOL, "limit", "sell", 0.1, round(last * 0.9, 2), {"postOnly": True})
        with pytest.raises(ccxt.BadRequest):
            await desk.client.create_order(SYMBOL, "limit", "buy", 0.001, 2000)
        await desk.client.cancel_all_orders(SYMBOL)
        assert await desk.agrees() == ["closed", "canceled", "canceled", "canceled", "canceled"]


async def test_orders_that_rest_are_filled_by_the_prices(make_settings: MakeSettings) -> None:
    async with sitting(make_settings(), adjustForTimeDifference=True) as desk:
        await desk.client.create_order(SYMBOL, "market", "buy", 1.5)
        last = await desk.last()
        await desk.client.create_order(SYMBOL, "limit", "buy", 0.25, round(last * 0.99, 2))
        await desk.client.create_order(SYMBOL, "market", "sell", 0.25, None, {"stopPrice": round(last * 0.992, 2)})
        await oco(desk, "0.5", last * 1.01, last * 0.99)
        await oco(desk, "0.5", last * 1.5, last * 0.5)
        await desk.wait(1)
        assert await desk.agrees() == ["closed", *["open"] * 6]
        await desk.wait(24 * HOUR)
        statuses = await desk.agrees()
        assert statuses == ["closed", "closed", "closed", "expired", "closed", "open", "open"]
        (dear,) = {
            round(each["price"], 2) for each in await desk.client.fetch_my_trades(SYMBOL) if each["order"] == "2"
        }
        assert dear == round(last * 0.99, 2)
