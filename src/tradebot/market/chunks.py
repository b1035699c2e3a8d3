"""How klines lie on disk: stretches of `CHUNK` grid bars as checked bytes in one diskcache.

Every entry is a small header (magic, version, CRC, length) and raw float64 values. One more entry,
the index, tells for each series what is there, and is written in the same transaction: readers in
other processes see all of a cycle or nothing of it. Nothing is ever unpickled, since whoever can
write to the folder could run code that way; what is not ours is set aside, reported and refetched.
"""

from __future__ import annotations

import logging
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import diskcache
import numpy as np
import orjson

from tradebot.errors import BadKlines, MarketError
from tradebot.market.bars import Klines, interval_ms, merge

log = logging.getLogger(__name__)
Series: TypeAlias = tuple[str, str]
CHUNK = 256
VERSION = 1
MAGIC = b"TBKL"
HEADER = struct.Struct("<4sHxxII")
INLINE = 1 << 24  # diskcache's own files can be deleted between its look-up and its reading of them
LOCK_TIMEOUT_S = 10


class Foreign(bytes):
    """The bytes of an entry that somebody else pickled; they are never unpickled."""

    __slots__ = ()


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Text keys and bytes values only, in both directions."""

    def put(self, key: Any) -> tuple[Any, bool]:
        if not isinstance(key, str):
            raise TypeError(f"keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        return key if raw and isinstance(key, str) else ""

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, str | None, Any]:
        if not isinstance(value, bytes):
            raise TypeError(f"values are bytes, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        if mode == diskcache.core.MODE_RAW and isinstance(value, bytes):
            return value
        if filename:
            value = (Path(self._directory) / filename).read_bytes()
        return Foreign(value if isinstance(value, bytes) else repr(value).encode())


def seal(payload: bytes) -> bytes:
    """`payload` behind its header."""
    return HEADER.pack(MAGIC, VERSION, zlib.crc32(payload), len(payload)) + payload


def unseal(raw: bytes) -> memoryview:
    """The payload of a sealed entry; `BadKlines` if it is foreign, of another version or damaged."""
    if isinstance(raw, Foreign) or len(raw) < HEADER.size or raw[:4] != MAGIC:
        raise BadKlines("not written by this program")
    _, version, checksum, length = HEADER.unpack_from(raw)
    if version != VERSION:
        raise BadKlines(f"of version {version}")
    payload = memoryview(raw)[HEADER.size :]
    if len(payload) != length or zlib.crc32(payload) != checksum:
        raise BadKlines("damaged")
    return payload


class Coverage(NamedTuple):
    """What is stored of a series, as open times (UTC ms).

    `first` is the oldest bar. From `since` to `newest` the store holds everything that the venue
    has; a bar missing there is missing at the venue.
    """

    first: int
    since: int
    newest: int


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a refresh found out about a series.

    `klines` begin at the border of a chunk and are all that is known from there on. `base` is the
    coverage that they were built on. With `replaces` all older bars are another venue's.
    """

    series: Series
    klines: Klines
    coverage: Coverage
    base: Coverage | None
    replaces: bool = False


def chunk_span(interval: str) -> int:
    """Length of a chunk in ms."""
    return CHUNK * interval_ms(interval)


def chunk_open(interval: str, moment: int) -> int:
    """The moment at which the chunk that holds `moment` begins."""
    return moment - moment % chunk_span(interval)


def _touch(one: Coverage, other: Coverage) -> bool:
    return one.since <= other.newest and other.since <= one.newest


class Chunks:
    """The entries of one venue in `folder`. Every trouble with the folder is a `MarketError`."""

    def __init__(self, folder: Path, venue: str) -> None:
        self.folder = folder
        self._venue = venue
        self._index: tuple[bytes, dict[Series, Coverage]] = (b"", {})
        with self._guarded():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            try:
                self._cache = self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._set_database_aside(error)
                self._cache = self._open()

    def _open(self) -> Any:
        return diskcache.Cache(
            str(self.folder),
            timeout=LOCK_TIMEOUT_S,
            disk=BytesDisk,
            disk_min_file_size=INLINE,
            eviction_policy="none",
            cull_limit=0,
        )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except diskcache.Timeout:
            raise MarketError(f"kline store {self.folder}: locked by another process") from None
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MarketError(
                f"kline store {self.folder}: {reason}; free it, or name another folder with --data-dir"
            ) from None

    def close(self) -> None:
        """Close this thread's connection."""
        self._cache.close()

    def index(self) -> dict[Series, Coverage]:
        """What is stored, by series. Not to be changed."""
        with self._guarded():
            raw = self._cache.get(self._key("index"), b"")
        if raw != self._index[0] or not raw:
            self._index = (raw, self._parse_index(raw))
        return self._index[1]

    def _parse_index(self, raw: bytes) -> dict[Series, Coverage]:
        try:
            if raw:
                rows = orjson.loads(unseal(raw))
                return {(symbol, interval): Coverage(*times) for symbol, interval, *times in rows}
        except BadKlines as error:
            self._set_aside(self._key("index"), raw, error)
        return self._rebuilt()

    def _rebuilt(self) -> dict[Series, Coverage]:
        """An index of the chunks that are there. It claims nothing, so that every series is asked for anew."""
        opens: dict[Series, list[int]] = {}
        with self._guarded():
            for key in self._cache.iterkeys():
                venue, _, rest = key.partition("|")
                if venue == self._venue and rest.count("|") == 2:
                    symbol, interval, moment = rest.split("|")
                    opens.setdefault((symbol, interval), []).append(int(moment))
        return {series: Coverage(min(found), max(found), max(found)) for series, found in opens.items()}

    def load(self, series: Series, start: int, end: int) -> tuple[Klines, bool]:
        """The whole chunks that `start` to `end` touch, and whether all of them could be read."""
        parts = []
        first = chunk_open(series[1], start)
        moments = range(first, end + 1, chunk_span(series[1]))
        with self._guarded():
            for moment in moments:
                key = self._key(*series, moment)
                raw = self._cache.get(key)
                try:
                    if raw is not None:
                        parts.append(Klines.from_bytes(unseal(raw)).data)
                except BadKlines as error:
                    self._set_aside(key, raw, error)
        if not parts:
            return Klines.empty(), not moments
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return Klines(whole), len(parts) == len(moments)

    def commit(self, changes: Iterable[Change]) -> None:
        """Store all `changes` and their coverage in one transaction."""
        with self._guarded(), self._cache.transact():
            index = dict(self.index())
            for change in changes:
                index[change.series] = self._write(change, index.get(change.series))
            rows = [[*series, *coverage] for series, coverage in index.items()]
            self._cache.set(self._key("index"), seal(orjson.dumps(rows)))

    def _write(self, change: Change, present: Coverage | None) -> Coverage:
        klines, coverage = change.klines, change.coverage
        start = chunk_open(change.series[1], int(klines.data[0, 0]))
        if present and change.replaces:
            self._drop(change.series, present.first, start - 1)
        elif present and present != change.base and _touch(present, coverage):
            # Another process was here since we looked: keep what it found beside what we found.
            klines = merge(self.load(change.series, start, present.newest)[0], klines)[0]
            coverage = Coverage(
                min(present.first, coverage.first),
                min(present.since, coverage.since),
                max(present.newest, coverage.newest),
            )
        span = chunk_span(change.series[1])
        opens = klines.data[0] - klines.data[0] % span
        borders = [*np.flatnonzero(np.diff(opens, prepend=-1.0)).tolist(), len(klines)]
        for left, right in pairwise(borders):
            payload = klines.data[:, left:right].tobytes()
            self._cache.set(self._key(*change.series, int(opens[left])), seal(payload))
        return coverage

    def _drop(self, series: Series, start: int, end: int) -> None:
        for moment in range(chunk_open(series[1], start), end + 1, chunk_span(series[1])):
            self._cache.delete(self._key(*series, moment))

    def _key(self, *parts: str | int) -> str:
        return "|".join([self._venue, *map(str, parts)])

    def _set_aside(self, key: str, raw: bytes, why: BadKlines) -> None:
        """Keep an entry that cannot be used as a file, outside the cache."""
        aside = self.folder / "aside"
        aside.mkdir(mode=0o700, exist_ok=True)
        name = "".join(char if char.isalnum() else "_" for char in key)
        (aside / f"{name}-{zlib.crc32(raw):08x}").write_bytes(raw)
        self._cache.delete(key)
        log.warning("kline store: entry %s is %s; set aside in %s and fetched anew", key, why, aside)

    def _set_database_aside(self, why: sqlite3.DatabaseError) -> None:
        aside = self.folder / "aside"
        aside.mkdir(mode=0o700, exist_ok=True)
        for path in self.folder.glob("cache.db*"):
            path.replace(aside / f"{path.name}-{path.stat().st_mtime_ns}")
        log.warning("kline store: %s: %s; set aside in %s, all is fetched anew", self.folder, why, aside)
