"""An exchange of our own that speaks the venue's wire protocol, and how settings open it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tradebot.clock import DAY, Clock, RealClock, SteppedClock, format_time, parse_time, wall_ms
from tradebot.config import Settings
from tradebot.errors import ConfigError

if TYPE_CHECKING:
    from tradebot.sim.engine import Exchange
    from tradebot.sim.fault_plan import Plan
    from tradebot.sim.playback import Playback
    from tradebot.sim.prices import Prices


def identity(settings: Settings) -> str:
    """A name for the prices: stores and accounts of different prices must not be mixed.

    Another seed is another name, and so are faults of the market; the number of symbols is not,
    since it changes no price. A folder is told by the names, sizes and times of its files.
    """
    name = "sim" if settings.sim.seed == 1 else f"sim-{settings.sim.seed}"
    if settings.sim.klines:
        name = f"sim-klines-{_fingerprint(Path(settings.sim.klines).expanduser())[:8]}"
    plan = open_plan(settings)
    return f"{name}-faults-{_digest(repr((plan.seed, plan.market)))[:8]}" if plan and plan.market else name


def account(settings: Settings) -> str:
    """A name for the paper account: one that begins at a time of its own is not the one of the present."""
    began = "".join(letter for letter in settings.sim.at if letter.isalnum())
    return f"{identity(settings)}-at-{began}" if began else identity(settings)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fingerprint(folder: Path) -> str:
    told = hashlib.sha256()
    if folder.is_dir():
        for path in sorted(each for each in folder.iterdir() if each.suffix in {".csv", ".parquet"}):
            stat = path.stat()
            told.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return told.hexdigest()


@lru_cache(maxsize=1)
def _playback(folder: Path, _state: str) -> Playback:
    """The folder is read once, though clock and exchange both need it; a changed folder has another state."""
    from tradebot.sim.playback import Playback

    return Playback(folder)


def _played(settings: Settings) -> Playback:
    folder = Path(settings.sim.klines).expanduser()
    return _playback(folder, _fingerprint(folder))


def open_prices(settings: Settings) -> Prices:
    """Synthetic prices, or playback of `sim.klines`; `BadKlines` for a folder that cannot be read."""
    if settings.sim.klines:
        return _played(settings)
    from tradebot.sim.prices import Synthetic

    return Synthetic(settings.sim.seed, settings.sim.symbols)


def open_plan(settings: Settings, specs: Sequence[str] = ()) -> Plan | None:
    """The faults of `sim.faults` and of `specs`, written as on the command line; None if nobody asks for any."""
    if not settings.sim.faults and not specs:
        return None
    from tradebot.sim import fault_plan

    return fault_plan.open_plan(settings.sim.faults, specs)


def open_exchange(settings: Settings, clock: Clock, account: Path | None, plan: Plan | None = None) -> Exchange:
    """The simulated venue with its account file; None keeps the account in memory."""
    return paper_exchange(settings, open_prices(settings), clock, account, plan)


def paper_exchange(
    settings: Settings, prices: Prices, clock: Clock, account: Path | None, plan: Plan | None = None
) -> Exchange:
    """An exchange at any prices, with fee, spread and starting balance of `settings.paper`, under a plan of faults."""
    from tradebot.sim.accounts import quote_of
    from tradebot.sim.engine import Exchange

    if plan is not None:
        from tradebot.sim.fault_prices import FaultyPrices

        prices = FaultyPrices(prices, plan, clock)
    start = None
    if settings.paper.balance:
        now, known = clock.now(), prices.instruments()
        listed = [each for symbol, each in known.items() if prices.listed(symbol) <= now]
        start = {quote_of(listed or known.values()): settings.paper.balance}
    return Exchange(prices, clock, account, fee=settings.paper.fee, spread=settings.paper.spread, start=start)


def sim_clock(settings: Settings, seen: int | None = None) -> Clock:
    """The venue's clock: it starts at `sim.at`, else at the machine's time.

    One that does not tell the present starts at `seen`, if that is later: a venue that was served before
    goes on from where it was.

    Playback without `sim.at` starts a day before the end of what most symbols have in common (or at
    its begin, if it is shorter), so that there is a past to look back on and a day to trade.
    """
    start = parse_time(settings.sim.at) if settings.sim.at else None
    if settings.sim.klines:
        start = _within(_played(settings), start)
    if seen is not None and (start is not None or settings.sim.clock != "real"):
        start = max(seen, wall_ms() if start is None else start)
    if settings.sim.clock == "stepped":
        return SteppedClock(wall_ms() if start is None else start, drive=True)
    return RealClock(start=start, speed=settings.sim.speed if settings.sim.clock == "scaled" else 1.0)


def _within(played: Playback, at: int | None) -> int:
    begin, end = played.span()
    if at is None:
        return max(begin, end - DAY)
    first = min(played.listed(symbol) for symbol in played.instruments())
    if at < first:
        raise ConfigError(
            f"sim.at: no klines in {played.folder} at {format_time(at)}; most lie between "
            f"{format_time(begin)} and {format_time(end)}"
        )
    return at
