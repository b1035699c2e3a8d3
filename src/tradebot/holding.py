"""The commands that trade, and those about what was traded. What takes the lock is told in docs/trading.md."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from tradebot import tables
from tradebot.clock import SECOND, wall_ms
from tradebot.commands import make_pool
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document, skipped_document
from tradebot.errands import Asked, Errand, Errands
from tradebot.errors import JournalError, Locked, TradingError, UsageError
from tradebot.hand import Hand
from tradebot.identity import account_key
from tradebot.lock import alone, lock_is_free
from tradebot.loop import Emit, Loop
from tradebot.market.signing import Credentials
from tradebot.modes import Examined, briefing, examine, recognise
from tradebot.pipeline import Pipeline, model_path, strategy_of
from tradebot.session import Session, open_session
from tradebot.trading.desk import Desk
from tradebot.trading.halt import Switch
from tradebot.trading.journal import Journal
from tradebot.trading.reconcile import Reconciliation
from tradebot.trading.results import results, totals

log = logging.getLogger(__name__)
PATIENCE_S = 30.0
"""Real seconds that a running loop has for an errand."""

LOOK_S = 0.1
Tell: TypeAlias = Callable[[str], None]


def _unheard(_: str) -> None:
    """Where lines go that nobody reads."""


def _unread(_: Document) -> None:
    """Where a summary goes that nobody reads."""


@asynccontextmanager
async def _open(
    settings: Settings, journal: Journal, credentials: Credentials | None
) -> AsyncIterator[tuple[Session, Examined | None]]:
    """The account of the settings, recognised as the one that the journal knows."""
    async with open_session(settings, trading=True, credentials=credentials) as session:
        examined = None
        if credentials is not None and session.broker is not None:
            examined = await examine(settings, session.broker)
            recognise(journal, session.account, examined.holder.uid, session.clock.now())
        yield session, examined


def _desk(session: Session, journal: Journal, quote: str) -> Desk:
    assert session.broker is not None
    return Desk(
        session.broker, journal, session.clock, session.settings, session.instruments, quote, session.account,
        renew=session.scout.renew,
    )  # fmt: skip


async def run(
    settings: Settings,
    cycles: int | None,
    emit: Emit,
    credentials: Credentials | None = None,
    tell: Tell = _unheard,
    *,
    conclude: Emit = _unread,
    profile: Path | None = None,
) -> None:
    """Cycles with orders; `Locked` if another instance trades from the same data folder.

    At the end, however it comes, `conclude` gets the summary of the run. With `profile` that file shows
    where the time went (see `trace`). With a key, `tell` gets what is about to be traded, a line each, before
    the first order; the first document has it too, as `briefing`.
    """
    with alone(settings):
        strategy_of(settings)
        model_path(settings)
        with make_pool(settings) as pool, Journal(settings.data_path / "state.db") as journal:
            async with _open(settings, journal, credentials) as (session, examined):
                pipeline = Pipeline(session, pool)
                universe = await pipeline.scan()
                loop = Loop(pipeline, _desk(session, journal, universe.quote))
                if examined and await loop.reconciliation.made_anew():
                    raise JournalError(
                        f"the venue has forgotten what it executed for {session.account}: it made the account anew, as "
                        "testnets do each month; `tradebot positions release all` writes off what was held there"
                    )
                lines = briefing(settings, session, examined) if examined else []
                for line in lines:
                    tell(line)
                with _observed(profile, loop):
                    try:
                        await loop.run(cycles, _with_briefing(lines, emit) if lines else emit)
                    finally:
                        log.info("%s", loop.summary)
                        conclude(loop.summary.document())


@contextmanager
def _observed(profile: Path | None, loop: Loop) -> Iterator[None]:
    """With a file for the profile, the cycles of `loop` go there."""
    if profile is None:
        yield
        return
    from tradebot.trace import Trace

    with Trace(profile, loop.session.feed) as trace:
        loop.observe = trace.add
        yield


def _with_briefing(lines: Sequence[str], emit: Emit) -> Emit:
    def told(document: Document) -> None:
        emit({**document, "briefing": lines} if document["cycle"] == 1 else document)

    return told


async def act(
    settings: Settings,
    kind: str,
    symbols: Sequence[str],
    credentials: Credentials | None,
    *,
    patience_s: float = PATIENCE_S,
) -> Document:
    """Close or release positions: by the loop that runs, or without one by ourselves, under its lock.

    No symbols means all. Raises what the loop says if it could not, and a `TradingError` if it does
    not answer within `patience_s` real seconds.
    """
    errand = Errand(kind, tuple(symbols), wall_ms() + int(patience_s * SECOND))
    try:
        with alone(settings):
            return await _ourselves(settings, errand, credentials) | {"by": "command"}
    except Locked:
        asked = Errands(settings.data_path).ask(errand)
    try:
        return await _answered(settings, errand, asked, credentials)
    finally:
        asked.withdraw()


async def _answered(settings: Settings, errand: Errand, asked: Asked, credentials: Credentials | None) -> Document:
    """What the running loop answers; if it ends before it begins, we do it ourselves."""
    while wall_ms() < errand.until:
        await asyncio.sleep(LOOK_S)
        free = lock_is_free(settings)  # looked at first: what a loop answers, it answers before it ends
        if (answer := asked.answer()) is not None:
            return _judged(answer) | {"by": "loop"}
        if free:
            break
    if not asked.withdraw():
        raise TradingError("the running loop has begun with it, but not answered; look at `tradebot positions`")
    if not free:
        raise TradingError("the running loop did not look at this in time; nothing was done")
    with alone(settings):
        return await _ourselves(settings, errand, credentials) | {"by": "command"}


def _judged(answer: Document) -> Document:
    """The answer, unless it is an error: that has the loop's exit code here too."""
    if "error" not in answer:
        return answer
    kinds = {kind.exit_code: kind for kind in (UsageError, TradingError)}
    raise kinds.get(answer["exit_code"], TradingError)(str(answer["error"]))


async def _ourselves(settings: Settings, errand: Errand, credentials: Credentials | None) -> Document:
    with Journal(settings.data_path / "state.db") as journal:
        held = journal.positions(account_key(settings))
        if not held and errand.kind == "close":
            raise UsageError(f"nothing is held in {account_key(settings)}")
        async with _open(settings, journal, credentials) as (session, _):
            desk = _desk(session, journal, held[0].quote if held else "")
            told = list(dict.fromkeys([*await desk.reconcile(), *await desk.audit()]))
            comparison = Reconciliation(
                desk.broker, journal, session.clock, session.account,
                instruments=session.instruments, every_s=settings.trading.reconcile_s,
            )  # fmt: skip
            answer = await Hand(session, desk, comparison).carry_out(errand)
    return {**answer, "warnings": [*told, *answer["warnings"]]}


def require_closed(document: Document) -> None:
    """Raise what makes the exit code 5: something that was to be closed is still held. Dust cannot be sold."""
    left = [f"{row['symbol']} ({row['state']})" for row in document["positions"] if row["state"] != "dust"]
    if left:
        raise TradingError(f"still held: {', '.join(left)}; see `tradebot positions`")


@contextmanager
def _journal(settings: Settings) -> Iterator[Journal | None]:
    """The journal, if there is one yet."""
    path = settings.data_path / "state.db"
    if not path.exists():
        yield None
        return
    with Journal(path) as journal:
        yield journal


def positions(settings: Settings) -> Document:
    """What the account of the settings' venue holds, from the journal alone; no venue is asked."""
    account = account_key(settings)
    halted = Switch(settings.data_path).state()
    document: Document = {
        "schema": SCHEMA, "account": account, "halt": halted.document() if halted else None,
        "positions": [], "external": [], "doubts": [],
    }  # fmt: skip
    with _journal(settings) as journal:
        if journal is None:
            return document
        audit = journal.audit(account)
        return document | {
            "positions": [position.document(None) for position in journal.positions(account)],
            "external": skipped_document(dict(audit.external)),
            "doubts": list(audit.doubts),
        }


async def marked(settings: Settings) -> Document:
    """As `positions`, with the venue's prices of now and what each position has gained by them."""
    account = account_key(settings)
    with _journal(settings) as journal:
        held = journal.positions(account) if journal else []
    prices: Mapping[str, Decimal] = {}
    if held:
        async with open_session(settings) as session:
            prices = await session.feed.prices()
    return positions(settings) | {"positions": [each.document(prices.get(each.symbol)) for each in held]}


def history(settings: Settings, since: int, output: Path | None) -> Document:
    """Results of what is over since the venue time `since` (ms), from the journal; with `output`, as a table too."""
    account = account_key(settings)
    with _journal(settings) as journal:
        found = results(journal, account, since) if journal else []
    rows = [each.document() for each in found]
    if output is not None:
        tables.write(output, _table(rows))
    return {
        "schema": SCHEMA,
        "account": account,
        "since": since or None,
        "results": rows,
        "totals": [each.document() for each in totals(found)],
    }


COLUMNS = (
    "symbol", "side", "quote", "opened", "closed", "held_ms", "quantity", "entry", "exit", "realized", "fees",
    "slippage", "r", "reason",
)  # fmt: skip


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A column for each figure; fees in third coins are text, as "0.001 BNB"."""
    others = [" ".join(f"{fee} {coin}" for coin, fee in row["other_fees"].items()) for row in rows]
    return {name: [row[name] for row in rows] for name in COLUMNS} | {"other_fees": others}


def rebuild(settings: Settings) -> Document:
    """Make orders, positions and fills anew from the facts, under the lock; how many rows that changed."""
    with alone(settings), _journal(settings) as journal:
        if journal is None:
            raise UsageError(f"{settings.data_path / 'state.db'}: no trading state to rebuild")
        before = journal.rows()
        journal.rebuild()
        after = journal.rows()
    changed = sum(len(set(before[table]) ^ set(after[table])) for table in after)
    return {"schema": SCHEMA, **{table: len(rows) for table, rows in after.items()}, "changed": changed}
