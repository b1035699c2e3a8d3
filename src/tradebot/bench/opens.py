"""What open klines cost: requests and weight of an hour, against closed klines only and against a full refetch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tradebot.bench.rig import START, Bot, Workload, fill, served_venue
from tradebot.clock import MINUTE
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.market.store import KlineStore
from tradebot.market.ttl import Bounds
from tradebot.progress import Progress

MINUTES = 60
MOST = 10
"""Symbols: each costs the same, and more of them would only take longer."""


async def opens(settings: Settings, folder: Path, workload: Workload, progress: Progress) -> list[Document]:
    """A row for each way to keep klines: `requests` and `weight` of the hour after a first fetch, a look a minute."""
    few, market = replace(workload, symbols=min(workload.symbols, MOST), latency_ms=0.0), settings.market
    ways = {"closed only": None, "open too": Bounds(market.shortest_ttl_s, market.longest_ttl_s)}
    found = dict.fromkeys(ways, (0, 0))
    async with served_venue(few) as venue, Bot.open(settings, folder, venue, few) as bot:
        with ExitStack() as stack:
            stores = {name: stack.enter_context(KlineStore(folder / name, "bench")) for name in ways}
            for minute in range(MINUTES + 1):
                progress("open klines", minute, MINUTES)
                await bot.advance(START + minute * MINUTE)
                for name, bounds in ways.items():
                    spent = await _spent(bot, stores[name], bounds)
                    if minute:
                        found[name] = found[name][0] + spent[0], found[name][1] + spent[1]
                    else:
                        found["full refetch"] = spent[0] * MINUTES, spent[1] * MINUTES
    whole, _ = found["full refetch"]
    return [
        {"klines": name, "symbols": few.symbols, "requests": requests, "weight": weight, "share": requests / whole}
        for name, (requests, weight) in found.items()
    ]


async def _spent(bot: Bot, store: KlineStore, bounds: Bounds | None) -> tuple[int, int]:
    """Requests and weight of bringing a store up to date."""
    before = bot.session.used
    await fill(bot.session, store, bounds)
    after = bot.session.used
    return after[0] - before[0], after[1] - before[1]
