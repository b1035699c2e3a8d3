"""Bar close to order: how long after a bar's close each step was done, in real ms on one axis. Pure functions.

    available      the first reply that holds a bar of this close has arrived, for whatever symbol
    received       all series of the symbol are there
    features       its features are known
    prediction     its probability is known
    intent         the decision to enter is stored
    sent           the order leaves
    acknowledged   the venue has answered

A step that was not taken is null. On a clock that stands while the program works, all counts from
the last step of that clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tradebot.documents import Document

STEPS = ("available", "received", "features", "prediction", "intent", "sent", "acknowledged")


def row(symbol: str, bar_time: int, close: float, moments: Mapping[str, float]) -> Document:
    """One signal's way. `close` and all moments are on the axis of `monotonic_ms`."""
    steps = {step: round(moments[step] - close, 3) if step in moments else None for step in STEPS}
    return {"symbol": symbol, "bar_time": bar_time, **steps}


def summary(rows: Sequence[Document]) -> Document:
    """Of each step: how many rows have it (`count`), `p50`, `p95` and `max`, ms after the close; null without any."""
    return {step: figures([row[step] for row in rows if row[step] is not None]) for step in STEPS}


def figures(values: Sequence[float]) -> Document:
    """`count`, `p50`, `p95` and `max` of some ms; null where there are none."""
    if not values:
        return {"count": 0, "p50": None, "p95": None, "max": None}
    # np.percentile would import numpy's masked arrays, 6 ms of a `run --once`.
    places = np.linspace(0, 1, len(values))
    p50, p95, most = np.interp([0.5, 0.95, 1], places, np.sort(values)).round(3).tolist()
    return {"count": len(values), "p50": p50, "p95": p95, "max": most}


def in_words(found: Document) -> Iterable[str]:
    """A summary's steps, as `sent 212/340 ms`: median and most."""
    return (f"{step} {row['p50']:.0f}/{row['max']:.0f} ms" for step, row in found.items() if row["count"])
