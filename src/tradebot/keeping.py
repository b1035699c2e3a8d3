"""What `fetch` does with the store alone: status, prune. No venue is asked.

Settings in, document out. Nothing here prints or parses a command line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from tradebot.clock import wall_ms
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document
from tradebot.errors import MarketError, UnknownName, suggestion
from tradebot.identity import venue_key
from tradebot.market.bars import interval_ms
from tradebot.market.store import KlineStore, Pruned, Stored


@contextmanager
def open_store(settings: Settings) -> Iterator[KlineStore]:
    """The klines of the settings' venue."""
    with KlineStore(settings.data_path / "klines", venue_key(settings)) as store:
        yield store


def _named(settings: Settings, symbol: str) -> bool:
    patterns = [name.upper().replace("/", "-") for name in settings.universe.symbols]
    return not patterns or any(fnmatchcase(symbol.upper(), pattern) for pattern in patterns)


def chosen(settings: Settings, stored: Iterable[Stored]) -> list[Stored]:
    """The stored series of `universe.symbols` (all if there are none) and `market.intervals`; `MarketError` if none."""
    stored = list(stored)
    found = [each for each in stored if _named(settings, each.symbol) and each.interval in settings.market.intervals]
    if not found:
        there = ",".join(sorted({each.interval for each in stored}, key=interval_ms))
        wanted = " ".join(",".join(names) for names in (settings.universe.symbols, settings.market.intervals) if names)
        hint = f"stored are {there}; see --intervals and --symbols" if stored else "nothing is; `tradebot fetch` first"
        raise MarketError(f"nothing is stored of what is asked for ({wanted}): {hint}")
    return found


def unasked(settings: Settings, stored: Iterable[Stored]) -> list[str]:
    """The stored intervals of `universe.symbols` that are not among `market.intervals`, from fine to coarse."""
    there = {each.interval for each in stored if _named(settings, each.symbol)}
    return sorted(there - set(settings.market.intervals), key=interval_ms)


def status(settings: Settings) -> Document:
    """What is stored, by series; `age_ms` since it was last written, by this machine's clock."""
    now = wall_ms()
    with open_store(settings) as store:
        stored = [each for each in store.status() if _named(settings, each.symbol)]
        return {
            "schema": SCHEMA,
            "venue": venue_key(settings),
            "folder": str(settings.data_path / "klines"),
            "detailed": bool(settings.universe.symbols),
            "series": [_status(each, now) for each in sorted(stored, key=fine_first)],
            "symbols": len({each.symbol for each in stored}),
            "bars": sum(each.bars for each in stored),
            "bytes": sum(each.bytes for each in stored),
            "folder_bytes": store.size(),
        }


def fine_first(each: Stored) -> tuple[str, int]:
    """Sorts series by symbol, then from the finest interval on."""
    return each.symbol, interval_ms(each.interval)


def _status(each: Stored, now: int) -> Document:
    return {
        "symbol": each.symbol,
        "interval": each.interval,
        "first_open": each.first,
        "last_open": each.newest,
        "bars": each.bars,
        "spans": each.spans,
        "gaps": each.missing,
        "bytes": each.bytes,
        "age_ms": max(now - each.written, 0),
    }


def prune(settings: Settings, gone: Collection[str], before: int, *, carry_out: bool) -> Document:
    """Drop the symbols `gone` whole and of all others the bars before `before` (UTC ms; 0: none).

    Without `carry_out` it only says what would go: bars and bytes by series, about so many where a
    part of a series goes. `UnknownName` for a symbol of which nothing is stored.
    """
    with open_store(settings) as store:
        stored = sorted(store.status(), key=fine_first)
        if unknown := sorted(set(gone) - (there := {each.symbol for each in stored})):
            raise UnknownName(f"nothing is stored of '{unknown[0]}'{suggestion(unknown[0], there)}")
        going = [row for each in stored if (row := _going(each, gone, before))["bars"]]
        went = Pruned(len(going), sum(row["bars"] for row in going), sum(row["bytes"] for row in going))
        if carry_out and going:
            went = store.prune({(each.symbol, each.interval) for each in stored if each.symbol in gone}, before)
    return {
        "schema": SCHEMA,
        "venue": venue_key(settings),
        "done": carry_out,
        "before": before or None,
        "series": going,
        "bars": went.bars,
        "bytes": went.bytes,
    }


def _going(each: Stored, gone: Collection[str], before: int) -> Document:
    share = 1.0 if each.symbol in gone else _share_before(each, before)
    return {
        "symbol": each.symbol,
        "interval": each.interval,
        "bars": round(share * each.bars),
        "bytes": round(share * each.bytes),
        "whole": share == 1.0,
    }


def _share_before(each: Stored, before: int) -> float:
    step = interval_ms(each.interval)
    old = sum(max(min(newest + step, before) - since, 0) for since, newest in each.spans)
    return old / sum(newest + step - since for since, newest in each.spans)


def outside(settings: Settings, inside: Collection[str]) -> set[str]:
    """The stored symbols that are not `inside`."""
    with open_store(settings) as store:
        return {symbol for symbol, _ in store.stored()} - set(inside)
