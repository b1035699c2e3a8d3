from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from exchanging import exchange

from futures.trading import Trader
from tradebot.sim.engine import Exchange


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Trader]]:
    """Makes traders at an exchange's app (by default the marked one) and closes both."""
    made: list[Trader] = []

    def make(venue: Exchange | None = None, **options: Any) -> Trader:
        made.append(Trader(exchange() if venue is None else venue, **options))
        return made[-1]

    yield make
    for trader in made:
        await trader.http.aclose()
        trader.exchange.close()
