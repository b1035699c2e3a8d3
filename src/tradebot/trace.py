"""Where the time of cycles went, as a file of trace events: open it in https://ui.perfetto.dev or chrome://tracing.

One row for each stage, one for batches of features, one for orders, and as many as are needed for the
requests that were in the air at once, each named by what was asked of which symbol. The format is
Chrome's "JSON Array Format": https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from tradebot.cycle import Cycle
from tradebot.errors import UsageError
from tradebot.market.binance import BinanceClient
from tradebot.market.venue import Feed
from tradebot.pipeline import STAGES

Event: TypeAlias = dict[str, Any]
FLIGHTS = 100_000  # requests that are remembered until their cycle has ended
ROWS = (*STAGES, "features", "orders")
REQUESTS = 100  # the first row of requests


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

    def __enter__(self) -> Trace:
        for index, name in enumerate(ROWS):
            self._write(_row(index, name))
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
        for event in (*_stages(cycle), *_batches(cycle), *_orders(cycle), *self._requests()):
            self._write(event)
        self._file.flush()

    def _requests(self) -> Iterator[Event]:
        flights = sorted(self._feed.spans, key=lambda flight: flight[0]) if self._feed else []
        if self._feed:
            self._feed.spans.clear()
        for row, (start, end, url) in _rows(flights):
            asked = [url.params[name] for name in ("symbol", "interval") if name in url.params]
            yield _event(REQUESTS + row, " ".join([url.path.rpartition("/")[2], *asked]), start, end)

    def _write(self, event: Event) -> None:
        self._file.write(self._between + json.dumps(event))
        self._between = ",\n"


def _event(row: int, name: str, start: float, end: float, **told: object) -> Event:
    """Something that lasted, in µs as the format wants it."""
    return {
        "ph": "X", "pid": 1, "tid": row, "name": name, "ts": round(start * 1000), "dur": round((end - start) * 1000),
        "args": told,
    }  # fmt: skip


def _row(row: int, name: str) -> Event:
    return {"ph": "M", "pid": 1, "tid": row, "name": "thread_name", "args": {"name": name}}


def _rows(flights: Iterable[tuple[float, float, Any]]) -> Iterator[tuple[int, tuple[float, float, Any]]]:
    """Each flight with the first row that is free when it begins; flights are in the order of their starts."""
    free: list[float] = []
    for flight in flights:
        row = next((index for index, until in enumerate(free) if until <= flight[0]), len(free))
        free[row : row + 1] = [flight[1]]
        yield row, flight


def _stages(cycle: Cycle) -> Iterator[Event]:
    for stage, start, end in cycle.watch.spans:
        yield _event(ROWS.index(stage), f"{stage} {cycle.number}", start, end)


def _batches(cycle: Cycle) -> Iterator[Event]:
    for start, end, symbols in cycle.look.batches if cycle.look else ():
        each = (end - start) / len(symbols)
        yield _event(
            ROWS.index("features"), f"{len(symbols)} symbols", start, end, ms_each=round(each, 4), symbols=symbols
        )


def _orders(cycle: Cycle) -> Iterator[Event]:
    symbols = {outcome.client_id: outcome.symbol for outcome in cycle.outcomes}
    for name, moments in cycle.orders.items():
        steps = sorted(moments.values())
        yield _event(ROWS.index("orders"), f"order {symbols.get(name, name)}", steps[0], steps[-1])
