from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from exchanging import Client, exchange

from tradebot.sim.app import create_app
from tradebot.sim.engine import Exchange


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Client]]:
    """Makes clients of an exchange's app (by default the marked one) and closes both."""
    made: list[tuple[Client, Exchange]] = []

    def make(venue: Exchange | None = None, **options: Any) -> Client:
        venue = exchange() if venue is None else venue
        made.append((Client(create_app(venue, **options), venue.clock), venue))
        return made[-1][0]

    yield make
    for client, venue in made:
        await client.http.aclose()
        venue.close()
