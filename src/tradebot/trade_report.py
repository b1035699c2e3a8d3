"""The documents of `positions` as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from tradebot.clock import DAY, HOUR, MINUTE, SECOND, format_time
from tradebot.documents import Document
from tradebot.report import ORDERS, POSITIONS, SKIPPED, Column, counted, gain, halted, money, price, stopped_by, table

Parts = Iterable[Table | Text]
BARS = "▁▂▃▄▅▆▇█"
SPARKS = 60
SHOWN = 30


def positions(document: Document) -> Parts:
    """What is held, and what the last comparison with the venue found."""
    yield from halted(document)
    yield from _held(f"Positions of {document['account']}", document["positions"])
    if document["external"]:
        yield table("Traded by somebody else, and not entered", document["external"], SKIPPED)
    yield from (Text(f"in doubt: {doubt}", style="bold red") for doubt in document["doubts"])


def stop(document: Document) -> Parts:
    """That entries are refused, or no longer; and what was closed."""
    yield from halted(document)
    if "orders" in document:
        yield from close(document)
    if document["halt"] is None:
        before = document["released"]
        yield Text(
            f"entries are allowed again; was {stopped_by(before)}: {before['reason']}" if before else "was not stopped"
        )


def _held(title: str, rows: Sequence[Document]) -> Parts:
    yield table(f"{title} ({len(rows)})", rows, POSITIONS) if rows else Text(f"{title}: none", style="dim")


def close(document: Document) -> Parts:
    """What was sold, and what is left."""
    yield table("Orders", document["orders"], ORDERS) if document["orders"] else Text("Orders: none", style="dim")
    yield from _held("Still held", document["positions"])
    yield from _warnings(document)


def release(document: Document) -> Parts:
    """What was written off, and what is left."""
    yield from (Text(line) for line in document["released"])
    yield from _held("Held now", document["positions"])
    yield from _warnings(document)


def _warnings(document: Document) -> Parts:
    yield from (Text(f"warning: {warning}", style="yellow") for warning in document["warnings"])


def rebuild(document: Document) -> Parts:
    """How many rows there are, and how many are not as before."""
    counts = ", ".join(f"{document[name]:,} {name}" for name in ("orders", "positions", "fills"))
    yield Text(f"{counts}; {document['changed'] or 'no'} rows are other ones than before")


def duration(ms: int) -> str:
    """`2 d 3 h`, `3 h 20 min`, `15 min`, `40 s`."""
    if ms < MINUTE:
        return f"{ms // SECOND} s"
    if ms < HOUR:
        return f"{ms // MINUTE} min"
    if ms < DAY:
        return f"{ms // HOUR} h {ms % HOUR // MINUTE} min"
    return f"{ms // DAY} d {ms % DAY // HOUR} h"


def sparkline(points: Sequence[float]) -> str:
    """The points as bars of eight heights, in at most `SPARKS` characters: the last of each stretch."""
    stretch = -(-len(points) // SPARKS)
    seen = [points[min(index + stretch, len(points)) - 1] for index in range(0, len(points), stretch)] if points else []
    low, high = min(seen, default=0.0), max(seen, default=0.0)
    size = (high - low) or 1.0
    return "".join(BARS[round((point - low) / size * (len(BARS) - 1))] for point in seen)


def _why(row: Document) -> str:
    return f"{row['reason']}, short" if row["side"] == "SELL" else str(row["reason"])


def _in_r(row: Document) -> str:
    return "" if row["r"] is None else f"{Decimal(row['r']):+.2f}"


# As many columns as a terminal of 80 holds; fees and slippage stand below, and for each trade in files and --json.
RESULTS: list[Column] = [
    ("symbol", lambda row: row["symbol"]), ("closed", lambda row: format_time(row["closed"])[:16]),
    ("held", lambda row: duration(row["held_ms"])), ("entry", price("entry")), ("exit", price("exit")),
    ("gain", gain("realized")), ("R", _in_r), ("why", _why),
]  # fmt: skip


def history(document: Document) -> Parts:
    """Results, the newest last, and what they add up to."""
    rows = document["results"]
    if not rows:
        yield Text(f"Results of {document['account']}: none yet", style="dim")
        return
    yield table(f"Results of {document['account']} ({len(rows)})", rows[-SHOWN:], RESULTS, shown=SHOWN)
    for total in document["totals"]:
        yield from _total(total)


def _total(total: Document) -> Parts:
    factor = "none lost" if total["profit_factor"] is None else f"{Decimal(total['profit_factor']):.2f}"
    yield Text(
        f"{money(total['realized'], '+')} {total['quote']} in {counted(total['trades'], 'trade')}, "
        f"{total['win_rate']:.0%} won, profit factor {factor}, {money(total['expectancy'], '+')} a trade, "
        f"{Decimal(total['mean_r']):+.2f} R",
        style="bold",
    )
    yield Text(
        f"largest drawdown {money(total['max_drawdown'])}, best {money(total['best'], '+')}, "
        f"worst {money(total['worst'], '+')}, fees {money(total['fees'])}, "
        f"slippage {money(total['slippage'])}, held {duration(total['mean_held_ms'])}"
    )
    yield Text(f"{sparkline([float(point) for point in total['curve']])} sum of results")


RENDERERS: dict[str, Callable[[Document], Parts]] = {
    "positions": positions, "close": close, "release": release, "rebuild": rebuild, "results": history,
    "stop": stop,
}  # fmt: skip
