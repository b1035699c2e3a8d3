"""What `fetch` does with the venue: one refresh, history, checks against the venue, a store kept warm.

Settings in, document out. Nothing here prints or parses a command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeAlias

from tradebot.clock import SECOND, monotonic_ms
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document, series_document, skipped_document
from tradebot.errors import KlinesLate, MarketError, UsageError, VenueBusy
from tradebot.intake import fetch_all, ttl_bounds
from tradebot.keeping import chosen
from tradebot.market.bars import interval_ms, open_of
from tradebot.market.chunks import Series
from tradebot.market.continuity import Survey, survey
from tradebot.market.coverage import Span
from tradebot.market.history import History, Tally, span_of
from tradebot.market.store import Ready
from tradebot.market.universe import named
from tradebot.market.verify import Check, Difference, covered, sample
from tradebot.progress import Progress, unseen
from tradebot.session import Session, open_session

Show: TypeAlias = Callable[[Tally], None]
Emit: TypeAlias = Callable[[Document], None]
LONGEST_PAUSE_S = 60.0


async def fetch(settings: Settings, progress: Progress = unseen) -> Document:
    """Bring the store up to date; what each series holds. The first error is raised if all failed."""
    start = monotonic_ms()
    async with open_session(settings) as session:
        universe = await session.scout.current()
        series = await fetch_all(session, universe.symbols, progress)
        if session.store.trouble is not None:
            raise session.store.trouble
        return fetched(session, session.clock.now(), series, monotonic_ms() - start, universe.skipped)


def fetched(session: Session, now: int, series: list[Ready], elapsed_ms: float, skipped: Mapping[str, str]) -> Document:
    """The document of a fetch; raises the first error if every series failed."""
    failed = [ready for ready in series if ready.error is not None]
    if failed and len(failed) == len(series) and failed[0].error:
        raise failed[0].error
    good = sorted((r for r in series if r.error is None), key=lambda r: (r.symbol, interval_ms(r.interval)))
    return {
        "schema": SCHEMA,
        "venue": session.venue,
        "now": now,
        "elapsed_ms": round(elapsed_ms, 3),
        "requests": session.feed.requests,
        "weight": session.feed.weight,
        "series": [series_document(ready) for ready in good],
        "errors": [{"symbol": r.symbol, "interval": r.interval, "error": str(r.error)} for r in failed],
        "skipped": skipped_document(dict(skipped)),
    }


def _head(session: Session, started: float) -> Document:
    return {
        "schema": SCHEMA,
        "venue": session.venue,
        "now": session.clock.now(),
        "elapsed_ms": round(monotonic_ms() - started, 3),
        "requests": session.feed.requests,
        "weight": session.feed.weight,
    }


def _counted(session: Session, show: Show) -> Show:
    def counted(tally: Tally) -> None:
        tally.requests, tally.weight = session.feed.requests, session.feed.weight
        show(tally)

    return counted


def _failures(errors: Mapping[Series, MarketError]) -> list[Document]:
    return [{"symbol": s, "interval": i, "error": str(error)} for (s, i), error in sorted(errors.items())]


async def _symbols(session: Session) -> list[str]:
    """The universe; of symbols that are named one by one also those that are not traded at present have a past."""
    wanted = session.settings.universe
    return named(wanted, session.instruments) if wanted.fixed else list((await session.scout.current()).symbols)


async def history(settings: Settings, since: int, until: int | None, show: Show) -> Document:
    """Fetch what the store does not cover from `since` to before `until` (UTC ms; None: now), and read it all once.

    What could not be had is in `errors`; what is still missing stands with each series.
    """
    started = monotonic_ms()
    async with open_session(settings) as session:
        now = session.clock.now()
        until = now if until is None else min(until, now)
        if since >= until:
            raise UsageError("--since must be before --until and before the venue's present")
        spans: dict[Series, Span] = {}
        for symbol in await _symbols(session):
            for interval in sorted(settings.market.intervals, key=interval_ms):
                if span := span_of(interval, since, until, now):
                    spans[symbol, interval] = span
        run = History(
            session.feed, session.clock, session.store,
            connections=settings.venue.connections, seen=_counted(session, show),
        )  # fmt: skip
        await run.fetch(spans)
        surveys: list[Survey] = []
        for series, span in spans.items():
            run.tell(f"reading what is stored, {len(surveys)} of {len(spans)} series")
            await asyncio.sleep(0)  # a signal may want to be heard
            surveys.append(survey(session.store, series, *span))
        return _head(session, started) | {
            "since": since,
            "until": until,
            "series": [_surveyed(each, run) for each in surveys],
            "errors": _failures(run.errors),
        }


def _surveyed(each: Survey, run: History) -> Document:
    symbol, interval = each.series
    return {
        "symbol": symbol,
        "interval": interval,
        "rows": each.rows,
        "new": run.new.get(each.series, 0),
        "made": run.made.get(each.series, 0),
        "first_open": each.first_open,
        "last_open": each.last_open,
        "gaps": each.gaps,
        "missing": each.missing,
    }


async def verify(settings: Settings, since: int | None, until: int | None, show: Show, *, mend: bool) -> Document:
    """Compare what is stored with the venue: all from `since` to before `until`, or a sample if neither is given.

    With `mend` the venue's bars are stored where they differ. `remaining` counts the differences that
    are left.
    """
    started = monotonic_ms()
    async with open_session(settings) as session:
        now = session.clock.now()
        wanted: dict[Series, list[Span]] = {}
        for each in chosen(settings, session.store.status()):
            step, series = interval_ms(each.interval), (each.symbol, each.interval)
            whole = covered(each.spans, since or 0, open_of(each.interval, (until or now) - 1))
            wanted[series] = whole if since or until else sample(whole, step, f"{series}{now}")
        check = Check(session.store, wanted, mend=mend)
        run = History(
            session.feed, session.clock, check,
            connections=settings.venue.connections, seen=_counted(session, show),
        )  # fmt: skip
        await run.fetch({series: (spans[0][0], spans[-1][1]) for series, spans in wanted.items() if spans})
        return _head(session, started) | {
            "sampled": not (since or until),
            "mended": mend,
            "series": [_compared(series, each) for series, each in check.found.items()],
            "errors": _failures(run.errors),
            "remaining": sum(each.remaining for each in check.found.values()),
        }


def _compared(series: Series, each: Difference) -> Document:
    return {
        "symbol": series[0],
        "interval": series[1],
        "checked": each.checked,
        "missing": each.missing,
        "extra": each.extra,
        "revised": each.revised,
        "remaining": each.remaining,
        "first": each.first,
        "last": each.last,
    }


async def universe(settings: Settings) -> list[str]:
    """The symbols of the universe."""
    async with open_session(settings) as session:
        return await _symbols(session)


async def watch(settings: Settings, emit: Emit) -> None:
    """Keep the store warm until it is cancelled: a refresh whenever the next series is due, a document a round.

    A venue in trouble is waited for, as long as it says or in growing steps; the document then says so.
    """
    failures = 0
    async with open_session(settings) as session:
        while True:
            requests, weight, started = session.feed.requests, session.feed.weight, monotonic_ms()
            try:
                document, due, failed = await _round(session, started, _pause_s(failures))
                failures = failures + 1 if failed else 0
            except MarketError as error:
                pause_ms = await _trouble(session, error, failures, emit)
                failures += 1
                await asyncio.sleep(pause_ms / SECOND)
                continue
            used = {"requests": session.feed.requests - requests, "weight": session.feed.weight - weight}
            emit(document | used | {"next": due})
            await session.clock.sleep_until(due)


def _pause_s(failures: int) -> float:
    """How long a venue that failed so often is left alone."""
    return min(2.0**failures, LONGEST_PAUSE_S)


async def _round(session: Session, started: float, pause_s: float) -> tuple[Document, int, bool]:
    """A refresh, when the next one is due, and whether symbols failed: for them alone it is due after the pause."""
    settings = session.settings
    universe = await session.scout.current()
    now = session.clock.now()
    series = await fetch_all(session, universe.symbols)
    if session.store.trouble is not None:
        raise session.store.trouble
    market = settings.market
    failed = {each.symbol for each in series if each.error and not isinstance(each.error, KlinesLate)}
    sound = [symbol for symbol in universe.symbols if symbol not in failed]
    dues = [session.store.next_due(now, sound, market.intervals, market.bars, ttl_bounds(settings))] if sound else []
    due = min([*dues, now + round(pause_s * SECOND)] if failed else dues, default=now)
    document = fetched(session, now, series, monotonic_ms() - started, universe.skipped)
    return document, max(due, now + SECOND), bool(failed)


async def _trouble(session: Session, error: MarketError, failures: int, emit: Emit) -> float:
    """Tell of it; real ms to wait before the next try. Who knows how long in venue time is waited for here."""
    wait_ms = error.wait_ms if isinstance(error, VenueBusy) else round(_pause_s(failures) * SECOND)
    now = session.clock.now()
    emit({"schema": SCHEMA, "venue": session.venue, "now": now, "error": str(error), "again_ms": wait_ms})
    if isinstance(error, VenueBusy):
        await session.clock.sleep_until(now + wait_ms)
        return 0.0
    return wait_ms
