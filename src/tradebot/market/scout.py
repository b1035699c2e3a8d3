"""Keeps the trading rules and the universe of a session up to date, each on its schedule.

What is known outlives the process (see `memo`), so a `run --once` every minute asks for it as
seldom as a loop does.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence

from tradebot.clock import DAY, HOUR, MINUTE, SECOND, Clock
from tradebot.config import Universe as Wanted
from tradebot.errors import MarketError, TradebotError
from tradebot.market import memo
from tradebot.market.memo import Memo
from tradebot.market.universe import Candidates, Universe, candidates, decided, needs_statistics, thinned
from tradebot.market.venue import Feed, Instrument, Ticker

log = logging.getLogger(__name__)
RULES_MS = HOUR  # venue time after which the rules are read anew
RULES_LAST_MS = 6 * HOUR  # rules older than this are no ground for an entry
AGAIN_MS = MINUTE  # after a failure; doubled from failure to failure
NEVER = -(10**15)


class Scout:
    """`instruments` and `universe` as last read; `open` first.

    `instruments` is one mapping for all who hold it and changes in place.
    """

    def __init__(self, feed: Feed, clock: Clock, wanted: Wanted, memory: Memo) -> None:
        self.instruments: dict[str, Instrument] = {}
        self._feed = feed
        self._clock = clock
        self._wanted = wanted
        self._memo = memory
        self._kind = f"universe-{_fingerprint(wanted)}"
        self._universe: Universe | None = None
        self._listed: dict[str, int] = {}
        self._rules_at = self._chosen_at = NEVER
        self._again = NEVER
        self._choosing = asyncio.Lock()
        self._failures = 0
        self._doubted = False
        self._unsettled = False  # the universe was chosen by other rules

    async def open(self) -> None:
        """Know the rules: from before if they are fresh, else from the venue. Raises `MarketError`."""
        kept = self._memo.load("rules", memo.rules_in)
        if kept and self._fresh(kept[0], RULES_MS):
            self._rules_at = kept[0]
            self.instruments.update(kept[1])
        else:
            await self._read_rules()
        if listed := self._memo.load("listed", memo.listings_in):
            self._listed = listed[1]
        if chosen := self._memo.load(self._kind, memo.universe_in):
            self._chosen_at, self._universe = chosen
            self._unsettled = not kept or self._rules_at != kept[0]

    @property
    def rules_age(self) -> int:
        """Venue ms since the rules were read."""
        return self._clock.now() - self._rules_at

    @property
    def due(self) -> bool:
        """Whether `refresh` would ask the venue something."""
        stale = not self._fresh(self._chosen_at, self._period)
        return (stale or self._rules_due or self._unsettled) and self._clock.now() >= self._again

    @property
    def size(self) -> int:
        """How many symbols are in the universe in force; 0 before one was chosen."""
        return len(self._universe.symbols) if self._universe else 0

    async def universe(self) -> Universe:
        """The universe in force; chosen now if there is none. Raises as `universe.choose`.

        One that is older than its schedule stays in force until `refresh`.
        """
        async with self._choosing:  # once, though several ask
            return self._universe or await self._follow(None)

    async def current(self) -> Universe:
        """The universe in force, refreshed before if that is due; the old one if that fails."""
        try:
            await self.universe()
            return await self.refresh() if self.due else await self.universe()
        except MarketError as error:
            if self._universe is None:
                raise
            log.warning("the universe is the one of before: %s", error)
            return self._universe

    async def refresh(self, patience_s: float | None = None) -> Universe:
        """Read anew what is due; the universe with what is new about it.

        After a `TradebotError` it is as before, and due again in a minute, then in two, then four; so
        it is after `patience_s` real seconds.
        """
        old = await self.universe()
        try:
            async with asyncio.timeout(patience_s):
                if self._rules_due:
                    await self._read_rules()
                new = await self._follow(old)
        except (TradebotError, TimeoutError) as error:
            self._again = self._clock.now() + min(AGAIN_MS << self._failures, self._period)
            self._failures += 1
            raise error if isinstance(error, TradebotError) else MarketError("no answer in time") from None
        self._failures, self._again, self._unsettled = 0, NEVER, False
        return new

    def doubt(self) -> None:
        """The venue contradicts the rules: they are due, here and in later processes, unless just read."""
        if self.rules_age >= AGAIN_MS:
            self._doubted = True
            self._memo.drop("rules")

    async def renew(self) -> None:
        """Read the rules now, since the venue contradicts them, unless they were just read. Raises `MarketError`."""
        self.doubt()
        if self._rules_due:
            await self._read_rules()

    @property
    def _rules_due(self) -> bool:
        return self._doubted or not self._fresh(self._rules_at, RULES_MS)

    @property
    def _period(self) -> int:
        return self._wanted.refresh_s * SECOND

    def _fresh(self, at: int, period: int) -> bool:
        # A venue that has begun its time anew may be behind what is remembered of it.
        return abs(self._clock.now() - at) < period

    async def _read_rules(self) -> None:
        known = dict(await self._feed.instruments())
        self.instruments.clear()
        self.instruments.update(known)
        self._rules_at, self._doubted = self._clock.now(), False
        self._memo.keep("rules", self._rules_at, memo.rules_out(known.values()))

    async def _follow(self, old: Universe | None) -> Universe:
        """The universe that follows `old`, already in force and kept."""
        known = candidates(self._wanted, self.instruments, {*old.symbols, *old.skipped} if old else ())
        ranked = needs_statistics(self._wanted, known)
        new = None
        if old and ranked and self._fresh(self._chosen_at, self._period):
            new = thinned(self._wanted, old, self.instruments)
        if new is None or not new.symbols:
            tickers = await self._tickers(old) if ranked else None
            new = await self._decide(old, known, tickers)
            self._chosen_at = self._clock.now()
        self._universe = new.without(())
        if new.joined or new.left or not old:
            self._tell(new)
        self._memo.keep(self._kind, self._chosen_at, memo.universe_out(self._universe))
        return new

    async def _tickers(self, old: Universe | None) -> Mapping[str, Ticker]:
        """For a first universe, of which all klines are asked for next, connections are opened meanwhile."""
        if old:
            return await self._feed.tickers()
        tickers, _ = await asyncio.gather(self._feed.tickers(), self._feed.connect(self._wanted.top))
        return tickers

    async def _decide(self, old: Universe | None, known: Candidates, tickers: Mapping[str, Ticker] | None) -> Universe:
        """`universe.decided`; who would be in and is of unknown age is asked for it before."""
        least = 0 if self._wanted.fixed else round(self._wanted.min_age_d * DAY)
        barred: dict[str, str] = {}
        while True:
            new = decided(self._wanted, old, known, tickers, barred)
            unknown = [symbol for symbol in new.symbols if least and symbol not in self._listed]
            await self._ask_age(unknown)
            barred |= {symbol: "age not known" for symbol in unknown if symbol not in self._listed}
            latest = self._clock.now() - least
            young = [symbol for symbol in new.symbols if least and self._listed.get(symbol, 0) > latest]
            barred |= dict.fromkeys(young, f"younger than universe.min_age_d = {self._wanted.min_age_d:g}")
            if not barred.keys() & set(new.symbols):
                return new

    async def _ask_age(self, symbols: Sequence[str]) -> None:
        """Look up when these were listed; a symbol that does not tell is left unknown."""

        async def first(symbol: str) -> int | None:
            try:
                bars = await self._feed.klines(symbol, "1d", 0, 1)
            except MarketError as error:
                log.info("the age of %s is not known: %s", symbol, error)
                return None
            return int(bars.open_time[0]) if len(bars) else None

        found = zip(symbols, await asyncio.gather(*map(first, symbols)), strict=True)
        self._listed |= {symbol: at for symbol, at in found if at is not None}
        if symbols:
            self._memo.keep("listed", self._clock.now(), self._listed)

    @staticmethod
    def _tell(new: Universe) -> None:
        log.info("universe: %d symbols, %d joined", len(new.symbols), len(new.joined))
        for symbol, reason in new.left.items():
            log.warning("universe: %s left: %s", symbol, reason)


def _fingerprint(wanted: Wanted) -> str:
    """A name for what the settings ask for; how often is not part of it."""
    asked = wanted.model_dump_json(exclude={"refresh_s"})
    return hashlib.sha256(asked.encode()).hexdigest()[:8]
