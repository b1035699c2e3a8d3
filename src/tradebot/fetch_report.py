"""The documents of `fetch` about the store as tables for people, with a bar of what each series covers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from tradebot.clock import DAY, HOUR, MINUTE, SECOND, format_time, monotonic_ms
from tradebot.documents import Document
from tradebot.market.bars import interval_ms
from tradebot.market.coverage import Span
from tradebot.market.history import Tally
from tradebot.report import Column, cell, counted, table

NAMED: list[Column] = [("symbol", itemgetter("symbol")), ("interval", itemgetter("interval"))]
FROM_TO: list[Column] = [
    ("first open", lambda row: minute(row["first_open"])[:10]),
    ("last open", lambda row: minute(row["last_open"])),
]
MANY = 60  # series, from which on a summary is shown instead of each
CELLS = 12
SHADES = " ░▒▓█"


def minute(ms: int | None) -> str:
    """`2018-01-20 00:00` (UTC) of UTC ms; nothing of None."""
    return "" if ms is None else format_time(ms)[:16]


def bytes_text(size: int) -> str:
    """`1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000 or unit == "GB":
            break
        size /= 1_000  # type: ignore[assignment]
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def duration(ms: float) -> str:
    """`3 d`, `5 h`, `20 min` or `7 s`: the largest unit of which there are two."""
    for length, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if ms >= 2 * length:
            return f"{ms // length:.0f} {unit}"
    return f"{ms / SECOND:.0f} s"


def coverage_bar(spans: Iterable[Span], holes: Iterable[Span], step: int, period: Span) -> str:
    """One cell for each part of `period`: blank where nothing is covered, full where all is.

    `spans` are covered but for `holes`; both as first and last open time of bars of length `step`. A
    period is two moments.
    """
    start, width = period[0], max(period[1] - period[0], 1) / CELLS
    shares = [0.0] * CELLS
    for sign, parts in ((1.0, spans), (-1.0, holes)):
        for first, last in parts:
            begin, end = (first - start) / width, (last + step - start) / width
            for place in range(max(int(begin), 0), min(int(end) + 1, CELLS)):
                shares[place] += sign * max(min(end, place + 1) - max(begin, place), 0.0)
    top = len(SHADES) - 1
    # Full only what is whole, blank only what is not there.
    return "".join(
        SHADES[0 if share < 1e-9 else top if share > 1 - 1e-9 else min(1 + int(share * (top - 1)), top - 1)]
        for share in shares
    )


def _bars(rows: Sequence[Document], covered: Callable[[Document], tuple[Iterable[Span], Iterable[Span]]]) -> Column:
    """A column of coverage bars, all over the same period."""
    held = [row for row in rows if row["first_open"] is not None]
    begin = min((row["first_open"] for row in held), default=0)
    end = max((row["last_open"] + interval_ms(row["interval"]) for row in held), default=0)

    def drawn(row: Document) -> str:
        return f"▕{coverage_bar(*covered(row), interval_ms(row['interval']), (begin, end))}▏"

    return "coverage", drawn


def _pair(span: Span | None) -> str:
    if not span:
        return ""
    return minute(span[0]) if span[0] == span[1] else f"{minute(span[0])} to {minute(span[1])}"


def _bars_in(spans: Iterable[Span], row: Document) -> int:
    step = interval_ms(row["interval"])
    return sum((last - first) // step + 1 for first, last in spans)


def history(document: Document) -> Iterable[Table | Text]:
    """What a fetch of history has brought, and what is missing at the venue or could not be had."""
    rows = document["series"]
    yield Text(f"{document['venue']}, {minute(document['since'])} to {minute(document['until'])} UTC", style="bold")
    covered = _bars(
        rows,
        lambda row: ([(row["first_open"], row["last_open"])] if row["rows"] else [], [*row["gaps"], *row["missing"]]),
    )
    yield table(f"History ({len(rows)} series)", rows, [
        *NAMED, ("bars", itemgetter("rows")), ("fetched", itemgetter("new")),
        *((f"{end} open", lambda row, end=end: minute(row[f"{end}_open"])[:10]) for end in ("first", "last")), covered,
    ], shown=MANY)  # fmt: skip
    lacking = [(row, kind, row[kind]) for kind in ("gaps", "missing") for row in rows if row[kind]]
    if lacking:
        yield table(f"Not there ({len(lacking)} series)", [
            {"symbol": row["symbol"], "interval": row["interval"], "bars": _bars_in(spans, row), "holes": len(spans),
             "largest": max(spans, key=lambda span: span[1] - span[0]),
             "why": "the venue has none" if kind == "gaps" else "not fetched"}
            for row, kind, spans in lacking
        ], [
            *NAMED, ("bars", itemgetter("bars")),
            ("holes", itemgetter("holes")), ("largest", lambda row: _pair(row["largest"])), ("why", itemgetter("why")),
        ])  # fmt: skip
    new, made = (sum(row[key] for row in rows) for key in ("new", "made"))
    yield _work(document, f"{counted(new, 'kline')} fetched, {made:,} made from finer ones")
    yield from _errors(document)


def _work(document: Document, what: str) -> Text:
    work = f"{counted(document['requests'], 'request')} of weight {document['weight']:,}"
    return Text(f"{what}, {work} in {document['elapsed_ms'] / 1e3:,.1f} s")


def _errors(document: Document) -> Iterator[Table]:
    if document["errors"]:
        # What is wrong with a file is told with its path anyway.
        columns: list[Column] = [(name, itemgetter(name)) for name in document["errors"][0] if name != "path"]
        yield table(f"Errors ({len(document['errors'])})", document["errors"], columns, shown=8)


def status(document: Document) -> Iterable[Table | Text]:
    """What is stored: each series, or a line for each interval where there are many."""
    rows = document["series"]
    yield Text(f"{document['venue']} in {document['folder']}", style="bold")
    if len(rows) > MANY and not document["detailed"]:
        yield table("Stored, by interval (--symbols shows each series)", _by_interval(rows), [
            ("interval", itemgetter("interval")), ("series", itemgetter("series")), ("bars", itemgetter("bars")),
            ("oldest", lambda row: minute(row["first_open"])), ("newest", lambda row: minute(row["last_open"])),
            ("gaps", itemgetter("gaps")), ("size", lambda row: bytes_text(row["bytes"])),
            ("written", lambda row: f"{duration(row['age_ms'])} ago"),
        ])  # fmt: skip
    elif rows:
        yield table(f"Stored ({len(rows)} series)", rows, [
            *NAMED, ("bars", itemgetter("bars")), *FROM_TO,
            ("gaps", itemgetter("gaps")), ("size", lambda row: bytes_text(row["bytes"])),
            ("age", lambda row: duration(row["age_ms"])), _bars(rows, lambda row: (row["spans"], [])),
        ], shown=MANY)  # fmt: skip
    yield Text(
        f"{counted(document['symbols'], 'symbol')}, {len(rows):,} series, {counted(document['bars'], 'bar')}, "
        f"{bytes_text(document['bytes'])}; the folder of all venues {bytes_text(document['folder_bytes'])}"
    )


def _by_interval(rows: Sequence[Document]) -> list[Document]:
    out = []
    for interval in sorted({row["interval"] for row in rows}, key=interval_ms):
        mine = [row for row in rows if row["interval"] == interval]
        sums = {key: sum(row[key] for row in mine) for key in ("bars", "gaps", "bytes")}
        ends = {"first_open": min(r["first_open"] for r in mine), "last_open": max(r["last_open"] for r in mine)}
        out.append(
            {"interval": interval, "series": len(mine), **sums, **ends, "age_ms": min(r["age_ms"] for r in mine)}
        )
    return out


def verify(document: Document) -> Iterable[Table | Text]:
    """How what is stored differs from the venue."""
    differing = [row for row in document["series"] if row["missing"] or row["extra"] or row["revised"]]
    if differing:
        yield table(f"Differences ({len(differing)} series)", differing, [
            *NAMED,
            *((name, itemgetter(name)) for name in ("checked", "missing", "extra", "revised", "remaining")),
            ("between", lambda row: _pair((row["first"], row["last"]))),
        ])  # fmt: skip
    checked = sum(row["checked"] for row in document["series"])
    what = "a sample of" if document["sampled"] else "all of"
    yield _work(
        document, f"{counted(checked, 'kline')} compared, {what} {len(document['series'])} series: {_verdict(document)}"
    )
    yield from _errors(document)


def _verdict(document: Document) -> str:
    found = sum(row[key] for row in document["series"] for key in ("missing", "extra", "revised"))
    if not found:
        return "all as at the venue"
    return f"{counted(found, 'difference')}, {document['remaining']:,} remain"


def prune(document: Document) -> Iterable[Table | Text]:
    """What was dropped, or would be."""
    rows = document["series"]
    if not rows:
        yield Text("nothing to drop")
        return
    yield table(f"{'Dropped' if document['done'] else 'Would be dropped'} ({len(rows)} series)", rows, [
        *NAMED, ("bars", itemgetter("bars")), ("size", lambda row: bytes_text(row["bytes"])),
        ("what", lambda row: "all" if row["whole"] else f"before {minute(document['before'])}"),
    ])  # fmt: skip
    if document["done"]:
        yield Text(f"{counted(document['bars'], 'bar')} dropped, {bytes_text(document['bytes'])} freed")
    else:
        yield Text(
            f"about {counted(document['bars'], 'bar')}, {bytes_text(document['bytes'])}; nothing was dropped: add --yes"
        )


def export(document: Document) -> Iterable[Table | Text]:
    """The files that were written, and how many bars they lack that could be fetched."""
    files = document["files"]
    lacking: list[Column] = [("missing", itemgetter("missing"))]
    missing = sum(row["missing"] for row in files)
    yield table(f"Exported ({counted(len(files), 'file')})", files, [
        *NAMED, ("bars", itemgetter("rows")), *(lacking if missing else []),
        ("size", lambda row: bytes_text(row["bytes"])), ("file", itemgetter("path")),
    ])  # fmt: skip
    if missing:
        yield Text(f"{counted(missing, 'bar')} not stored and so not written; --since fetches them", style="yellow")
    if others := ",".join(document["others"]):
        yield Text(f"also stored and not written: {others}; --intervals {others} writes them", style="yellow")


def imported(document: Document) -> Iterable[Table | Text]:
    """The files that were read; what they say otherwise than the store is a conflict, in which the store wins."""
    rows = [row for row in document["files"] if row["rows"]]
    empty = [row["path"] for row in document["files"] if not row["rows"]]
    if rows:
        yield table(f"Imported ({counted(len(rows), 'file')})", rows, [
            *NAMED, *((name, itemgetter(name)) for name in ("rows", "new", "conflicts")),
            ("off grid", itemgetter("off_grid")), *FROM_TO,
        ])  # fmt: skip
    if empty:
        names = ", ".join(empty[:5]) + (f" and {len(empty) - 5:,} more" if len(empty) > 5 else "")
        yield Text(f"warning: nothing to import in {names}: no kline that has closed", style="yellow")
    if conflicts := sum(row["conflicts"] for row in rows):
        yield Text(f"{counted(conflicts, 'kline')} other than what is stored; what is stored stays", style="yellow")
    yield from _errors(document)


def watch(document: Document) -> Iterable[Table | Text]:
    """One line a round."""
    now = format_time(document["now"])
    if "error" in document:
        wait = duration(document["again_ms"])
        yield Text(f"{now} trouble: {document['error']}; again in {wait}", style="yellow")
        return
    new = sum(row["new"] for row in document["series"])
    line = (
        f"{now} {len(document['series']):,} series, {counted(new, 'new kline')}, "
        f"{counted(document['requests'], 'request')} of weight {document['weight']:,}, "
        f"{document['elapsed_ms']:,.0f} ms; next {format_time(document['next'])}"
    )
    yield Text(line)
    yield from (
        Text(f"  {row['symbol']} {row['interval']}: {row['error']}", style="yellow") for row in document["errors"][:5]
    )


RENDERERS: dict[str, Callable[[Document], Iterable[Table | Text]]] = {
    "history": history, "status": status, "verify": verify, "prune": prune, "export": export, "import": imported,
    "watch": watch,
}  # fmt: skip


def pace(tally: Tally, elapsed_ms: float) -> str:
    """What stands beside the bar: what is waited for, or the rate so far."""
    if tally.waiting:
        return tally.waiting
    rate = tally.rows / max(elapsed_ms / 1e3, 0.001)
    # From the whole run so far: where limits are waited for, the last seconds say little.
    left = f"{duration(elapsed_ms * (tally.bars - tally.done) / tally.done)} left, " if tally.done else ""
    return f"{left}{cell(round(rate))} klines/s, {tally.requests:,} requests, weight {tally.weight:,}"


@contextmanager
def history_bar(out: Console | None = None) -> Iterator[Callable[[Tally], None]]:
    """A bar that goes away when the work is done, on stderr unless told; yields what to call as it goes on."""
    columns: Any = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    started = monotonic_ms()
    with Bar(*columns, console=out or Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(tally: Tally) -> None:
            bar.update(task, description=pace(tally, monotonic_ms() - started), completed=tally.done, total=tally.bars)

        yield show
