"""Where the time of cycles went, as a file of trace events: open it in https://ui.perfetto.dev or chrome://tracing.

A row for each stage, for batches of features, for orders and for requests, and as many more as are needed
for what went on at once: viewers drop events of one row that overlap. Requests are named by what was
asked of which symbol. The format is Chrome's "JSON Array Format": https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from tradebot.cycle import Cycle
from tradebot.errors import UsageError
from tradebot.look import STAGES
from tradebot.market.binance import BinanceClient
from tradebot.market.venue import Feed

Event: TypeAlias = dict[str, Any]
Lasting: TypeAlias = tuple[str, str, float, float, Event]  # of which row, name, start and end in ms, what else is told
FLIGHTS = 100_000  # requests that are remembered until their cycle has ended
ROWS = (*STAGES, "features", "orders", "requests")
APART = 1_000  # numbers between the rows of one kind and the next


class Trace:
    """Writes as cycles end; a context manager, whose end makes the file whole.

    `UsageError` if the file cannot be written.
    """

    def __init__(self, path: Path, feed: Feed) -> None:
        self._feed = feed if isinstance(feed, BinanceClient) else None
        if self._feed is not None:
            self._feed.spans = deque(maxlen=FLIGHTS)
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--profile {path}: {error.strerror}") from None
        self._between = "[\n"
        self._free: dict[str, list[int]] = {name: [] for name in ROWS}

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.write("\n]\n")
        self._file.close()
        if self._feed is not None:
            self._feed.spans = deque(maxlen=0)

    def add(self, cycle: Cycle) -> None:
        """One cycle that has ended, with all requests since the one before."""
        lasting = [*_stages(cycle), *_batches(cycle), *_orders(cycle), *self._requests()]
        for kind, name, start, end, told in sorted(lasting, key=itemgetter(2)):
            first, last = round(start * 1000), round(end * 1000)  # µs, as the format wants it
            self._write({
                "ph": "X", "pid": 1, "tid": self._row(kind, first, last), "name": name, "ts": first,
                "dur": last - first, "args": told,
            })  # fmt: skip
        self._file.flush()

    def _row(self, kind: str, first: int, last: int) -> int:
        """The first row of a kind on which nothing else lasts still; it is named when it is new."""
        free = self._free[kind]
        lane = next((index for index, until in enumerate(free) if until <= first), len(free))
        row = APART * ROWS.index(kind) + lane
        if lane == len(free):
            self._write({"ph": "M", "pid": 1, "tid": row, "name": "thread_name", "args": {"name": kind}})
        free[lane : lane + 1] = [last]
        return row

    def _requests(self) -> Iterator[Lasting]:
        flights = list(self._feed.spans) if self._feed else []
        if self._feed:
            self._feed.spans.clear()
        for start, end, target in flights:
            path, _, query = target.partition("?")
            told = dict(parse_qsl(query))
            asked = [told[name] for name in ("symbol", "interval") if name in told]
            yield "requests", " ".join([path.rpartition("/")[2], *asked]), start, end, {}

    def _write(self, event: Event) -> None:
        self._file.write(self._between + json.dumps(event))
        self._between = ",\n"


def _stages(cycle: Cycle) -> Iterator[Lasting]:
    for stage, start, end in cycle.watch.spans:
        yield stage, f"{stage} {cycle.number}", start, end, {}


def _batches(cycle: Cycle) -> Iterator[Lasting]:
    for start, end, symbols in cycle.look.batches if cycle.look else ():
        told = {"ms_each": round((end - start) / len(symbols), 4), "symbols": symbols}
        yield "features", f"{len(symbols)} symbols", start, end, told


def _orders(cycle: Cycle) -> Iterator[Lasting]:
    symbols = {outcome.client_id: outcome.symbol for outcome in cycle.outcomes}
    for name, moments in cycle.orders.items():
        steps = sorted(moments.values())
        yield "orders", f"order {symbols.get(name, name)}", steps[0], steps[-1], {}
