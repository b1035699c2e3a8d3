"""What `fetch` does with the store alone: status, export, import, prune. No venue is asked.

Settings in, document out. Nothing here prints or parses a command line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from tradebot.clock import wall_ms
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document
from tradebot.errors import BadKlines, MarketError, UnknownName, UsageError, suggestion
from tradebot.market.archive import ROWS, KlineFile, file_name, kline_files, take_in, write_file
from tradebot.market.bars import Klines, interval_ms
from tradebot.market.chunks import Series
from tradebot.market.store import KlineStore, Pruned, Stored
from tradebot.progress import Progress, unseen
from tradebot.session import venue_key


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
            "series": [_status(each, now) for each in sorted(stored, key=_fine_first)],
            "symbols": len({each.symbol for each in stored}),
            "bars": sum(each.bars for each in stored),
            "bytes": sum(each.bytes for each in stored),
            "folder_bytes": store.size(),
        }


def _fine_first(each: Stored) -> tuple[str, int]:
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


def _blocks(store: KlineStore, series: Series, first: int, last: int) -> Iterator[Klines]:
    reach = ROWS * interval_ms(series[1])
    for start in range(first, last + 1, reach):
        yield store.read(*series, start, min(start + reach - 1, last))


def _targets(path: Path, suffix: str | None, series: Sequence[Series]) -> list[Path]:
    """A file for each series: `path` itself for one series if it is named like a file, else in the folder `path`."""
    if path.suffix in (".csv", ".parquet") and not path.is_dir():
        if suffix not in (None, path.suffix[1:]):
            raise UsageError(f"--export {path} is not --format {suffix}; leave one of them out")
        if len(series) > 1:
            raise UsageError(f"--export {path}: {len(series)} series do not fit in one file; name a folder")
        return [path]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadKlines(f"{path}: {error.strerror}") from None
    return [path / file_name(each, f".{suffix or 'csv'}") for each in series]


def export(
    settings: Settings,
    path: Path,
    suffix: str | None,
    since: int | None,
    until: int | None,
    *,
    progress: Progress = unseen,
) -> Document:
    """Write the chosen series from `since` to before `until` (UTC ms) as files.

    `path` is a folder, or for one series a file; `suffix` is csv or parquet. A file that is there is replaced.
    """
    with open_store(settings) as store:
        stored = sorted(chosen(settings, store.status()), key=_fine_first)
        series = [(each.symbol, each.interval) for each in stored]
        files = []
        for each, name, target in zip(stored, series, _targets(path, suffix, series), strict=True):
            first, last = max(each.first, since or 0), min(each.newest + interval_ms(each.interval), until or 2**53) - 1
            rows = write_file(target, name, _blocks(store, name, first, last), venue_key(settings))
            size = target.stat().st_size
            files.append({"path": str(target), "symbol": name[0], "interval": name[1], "rows": rows, "bytes": size})
            progress("export", len(files), len(series))
    return {"schema": SCHEMA, "venue": venue_key(settings), "files": files}


def take(settings: Settings, path: Path, progress: Progress = unseen) -> Document:
    """Store the klines of a file or of the files in a folder; a bad file is named in `errors` and left out whole."""
    files, errors = [], []
    with open_store(settings) as store:
        found = kline_files(path)
        for done, file in enumerate(found, 1):
            try:
                files.append(_imported(store, file))
            except BadKlines as error:
                errors.append({"path": str(file.path), "error": str(error)})
            progress("import", done, len(found))
    return {"schema": SCHEMA, "venue": venue_key(settings), "files": files, "errors": errors}


def _imported(store: KlineStore, file: KlineFile) -> Document:
    told = take_in(store, file)
    return {
        "path": str(file.path),
        "symbol": file.series[0],
        "interval": file.series[1],
        "rows": told.rows,
        "new": told.new,
        "conflicts": told.conflicts,
        "off_grid": told.off_grid,
        "first_open": told.first_open,
        "last_open": told.last_open,
    }


def prune(settings: Settings, gone: Collection[str], before: int, *, carry_out: bool) -> Document:
    """Drop the symbols `gone` whole and of all others the bars before `before` (UTC ms; 0: none).

    Without `carry_out` it only says what would go: bars and bytes by series, about so many where a
    part of a series goes. `UnknownName` for a symbol of which nothing is stored.
    """
    with open_store(settings) as store:
        stored = sorted(store.status(), key=_fine_first)
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
