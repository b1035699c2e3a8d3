"""The JSON documents of the commands. Times are ms, a NaN is null, a Decimal is a string."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from tradebot.market.bars import gaps

if TYPE_CHECKING:
    from tradebot.analysis.analyze import Analysis
    from tradebot.analysis.explain import Explanation
    from tradebot.analysis.strategies import Signal
    from tradebot.market.store import Ready

Document: TypeAlias = dict[str, Any]
SCHEMA = 1


def encode(document: Document) -> str:
    """One line of JSON."""
    import orjson

    def other(value: object) -> object:
        if isinstance(value, Decimal):
            return format(value, "f")
        raise TypeError(f"{type(value).__name__} has no place in a document")

    return orjson.dumps(document, default=other, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def series_document(ready: Ready) -> Document:
    """One series of `fetch`; `gaps` are pairs of first and last missing open time."""
    times = ready.klines.open_time
    return {
        "symbol": ready.symbol,
        "interval": ready.interval,
        "rows": len(times),
        "new": ready.new,
        "revised": len(ready.revised),
        "first_open": int(times[0]) if len(times) else None,
        "last_open": int(times[-1]) if len(times) else None,
        "gaps": gaps(ready.klines, ready.interval),
        "open": ready.still_open.data[:6, 0].tolist() if len(ready.still_open) else None,
    }


def signal_document(signal: Signal, names: Sequence[str]) -> Document:
    """A signal with its 31 features by name."""
    return {
        "symbol": signal.symbol,
        "side": str(signal.side),
        "bar_time": signal.bar_time,
        "score": _number(signal.score),
        "features": {name: _number(value) for name, value in zip(names, signal.row, strict=True)},
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def explanation_document(told: Explanation) -> Document:
    """One symbol's analysis; `rank` is the share of the other symbols with a smaller value."""
    return {
        "symbol": told.symbol,
        "score": _number(told.score),
        "signal": told.signal,
        "reason": told.reason,
        "features": [
            {"name": each.name, "value": _number(each.value), "rank": each.rank, "median": _number(each.median)}
            for each in told.places
        ],
    }


def analysis_table(analysis: Analysis) -> dict[str, list[Any]]:
    """Every symbol that was analyzed, a row each: bar time (ms), score, side of its signal, reason, features."""
    sides = {signal.symbol: str(signal.side) for signal in analysis.signals}
    symbols, features = analysis.features.symbols, analysis.features
    columns = zip(features.names, features.values.T.tolist(), strict=True)
    return {
        "symbol": list(symbols),
        "bar_time": [analysis.bar_time] * len(symbols),
        "score": analysis.scores.tolist(),
        "side": [sides.get(symbol, "") for symbol in symbols],
        "skipped": [analysis.skipped.get(symbol, "") for symbol in symbols],
        **dict(columns),
    }


def prediction_rows(
    table: Mapping[str, Sequence[Any]], output: str, found: Sequence[float], first: int = 1
) -> list[Document]:
    """A prediction for each row of a table, numbered from `first` on, with where it comes from if the table says it.

    `output` is "probability", or "value" for a model that gives none.
    """
    told = [table.get(name) or [None] * len(found) for name in ("symbol", "side", "bar_time")]
    return [
        {
            "row": row,
            "symbol": symbol,
            "side": side or None,
            "bar_time": bar_time,
            "probability": None,
            output: _number(value),
        }
        for row, (symbol, side, bar_time, value) in enumerate(zip(*told, found, strict=True), first)
    ]


def skipped_document(skipped: dict[str, str]) -> list[Document]:
    """Symbols that were left out, in the order of their names, each with its reason."""
    return [{"symbol": symbol, "reason": reason} for symbol, reason in sorted(skipped.items())]
