"""What `fetch` does with files: export and import. No venue is asked.

Settings in, document out. Nothing here prints or parses a command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document
from tradebot.errors import BadKlines, MarketError, UsageError
from tradebot.identity import venue_key
from tradebot.keeping import chosen, fine_first, open_store, unasked
from tradebot.market.archive import ROWS, KlineFile, file_name, kline_files, take_in, write_file
from tradebot.market.bars import Klines, interval_ms, open_of
from tradebot.market.chunks import Series
from tradebot.market.store import KlineStore, Stored
from tradebot.progress import Progress, unseen


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
        raise UsageError(f"{path}: {error.strerror}; choose another place") from None
    return [path / file_name(each, f".{suffix or 'csv'}") for each in series]


def _within(each: Stored, since: int | None, until: int | None) -> bool:
    """Whether something of a series is known of the time from `since` to before `until`."""
    step = interval_ms(each.interval)
    return any(newest + step > (since or 0) and (until is None or first < until) for first, newest in each.spans)


def _missing(store: KlineStore, series: Series, first: int, last: int) -> int:
    """How many bars that open from `first` to `last` are not known to the store, which may have found damage."""
    step = interval_ms(series[1])
    spans = store.missing(*series, open_of(series[1], first + step - 1), open_of(series[1], last))
    return sum((end - start) // step + 1 for start, end in spans)


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
    Series that are not stored of that time are left out; `MarketError` if none is. `missing` are the bars of
    a file's time that could be fetched, `others` the stored intervals that were not asked for.
    """
    with open_store(settings) as store:
        there = store.status()
        stored = sorted((each for each in chosen(settings, there) if _within(each, since, until)), key=fine_first)
        if not stored:
            raise MarketError("nothing is stored of that time; `tradebot fetch --status` shows what is")
        series = [(each.symbol, each.interval) for each in stored]
        files = []
        for each, name, target in zip(stored, series, _targets(path, suffix, series), strict=True):
            first, last = max(each.first, since or 0), min(each.newest + interval_ms(each.interval), until or 2**53) - 1
            rows = write_file(target, name, _blocks(store, name, first, last), venue_key(settings))
            files.append({
                "path": str(target), "symbol": name[0], "interval": name[1], "rows": rows,
                "missing": _missing(store, name, first, last), "bytes": target.stat().st_size,
            })  # fmt: skip
            progress("export", len(files), len(series))
    return {"schema": SCHEMA, "venue": venue_key(settings), "files": files, "others": unasked(settings, there)}


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
