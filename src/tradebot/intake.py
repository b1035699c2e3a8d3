"""Klines for the symbols of a universe, as the settings want them: in the time of a cycle, or with patience."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from tradebot.clock import MINUTE, SECOND
from tradebot.config import Settings
from tradebot.errors import VenueBusy
from tradebot.market.chunks import Series
from tradebot.market.store import PATIENCE_S, Ready, Terms
from tradebot.market.ttl import Bounds
from tradebot.progress import Progress, unseen
from tradebot.session import Session

log = logging.getLogger(__name__)
LONGEST_MS = 2 * MINUTE  # a limit on request weight is over by then; a ban may not be


def ttl_bounds(settings: Settings) -> Bounds | None:
    """Bounds of the time to live of what is still open; None if only closed klines are wanted."""
    market = settings.market
    return None if market.closed_only else Bounds(market.shortest_ttl_s, market.longest_ttl_s)


async def fetch(
    session: Session, symbols: Sequence[str], now: int, deadline_s: float | None = None, progress: Progress = unseen
) -> AsyncGenerator[Ready, None]:
    """Every series of `symbols` with its bars closed at `now`, as soon as it is ready; see `KlineStore.refresh`.

    Who has a deadline is in a hurry: what is new is then stored when that is over (`KlineStore.saved`).
    """
    market, done = session.settings.market, 0
    terms = Terms(
        # The client has no more in the air than it may; the others' replies are read meanwhile.
        workers=2 * session.settings.venue.connections,
        deadline_s=deadline_s,
        patience_s=0.0 if session.stands_still else PATIENCE_S,  # nothing comes late while time stands
        bounds=ttl_bounds(session.settings),
        later=deadline_s is not None,
    )
    stream = session.store.refresh(session.feed, now, symbols, market.intervals, market.bars, terms=terms)
    async with aclosing(stream):
        async for ready in stream:
            done += 1
            progress("fetch", done, len(symbols) * len(market.intervals))
            yield ready


async def fetch_all(session: Session, symbols: Sequence[str], progress: Progress = unseen) -> list[Ready]:
    """Every series, also if the venue's limits make that last some minutes; a long ban is not sat out.

    Each wait is logged with its length. There is none on a clock that stands, and none after a round
    that has brought nothing.
    """
    of, left = len(symbols) * len(session.settings.market.intervals), list(symbols)
    done: dict[Series, Ready] = {}
    while True:
        before = len(done)
        busy: dict[Series, Ready] = {}
        async for ready in fetch(session, left, session.clock.now()):
            series = ready.symbol, ready.interval
            if series in done:
                continue
            if isinstance(ready.error, VenueBusy):
                busy[series] = ready
            else:
                done[series] = ready
                progress("fetch", len(done), of)
        wait = max((each.error.wait_ms for each in busy.values() if isinstance(each.error, VenueBusy)), default=0)
        if not 0 < wait <= LONGEST_MS or session.stands_still or len(done) == before:
            return [*done.values(), *busy.values()]
        left = list(dict.fromkeys(symbol for symbol, _ in busy))
        log.warning("%d of %d series wait %d s for the venue's limit", len(busy), of, -(-wait // SECOND))
        await session.clock.sleep_until(session.clock.now() + wait)


def revisions(series: Sequence[Ready]) -> list[str]:
    """What to say of klines that the venue has changed after their close: decisions were taken on the old ones."""
    changed = [f"{ready.symbol} {ready.interval}" for ready in series if len(ready.revised)]
    if not changed:
        return []
    count = sum(len(ready.revised) for ready in series)
    names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    return [f"the venue has revised {count} closed kline{'s' * (count > 1)}: {names}"]
