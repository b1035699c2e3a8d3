"""What a venue has told that holds for a while, kept between processes as small JSON files.

Each file names its kind, its venue and when it was told. One that is damaged or foreign is set
aside with a warning and counts as not there; one that cannot be written costs a request, not the
work.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import orjson

from tradebot.market.universe import Universe
from tradebot.market.venue import ZERO, Instrument

T = TypeVar("T")
log = logging.getLogger(__name__)
SCHEMA = 2
_COLUMNS = [each.name for each in fields(Instrument)]


class Memo:
    """The files of one venue in `folder`, which is made when something is to be kept; None keeps nothing."""

    def __init__(self, folder: Path | None, venue: str) -> None:
        self._folder = folder
        self._venue = venue

    def load(self, kind: str, read: Callable[[Any], T]) -> tuple[int, T] | None:
        """When it was told (UTC ms) and what, as `read` understands it; None if there is nothing that can be used."""
        path = self._path(kind)
        if path is None:
            return None
        try:
            document = orjson.loads(path.read_bytes())
            if document["schema"] != SCHEMA:
                return None
            if (document["kind"], document["venue"]) != (kind, self._venue):
                raise ValueError(f"of {document['kind']} of {document['venue']}")
            return int(document["at"]), read(document["body"])
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read: %s; the venue is asked instead", path, error.strerror)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            self._set_aside(path, error)
        return None

    def keep(self, kind: str, at: int, body: Any) -> None:
        """Write it so that a reader finds the old file or the new one, whole."""
        path = self._path(kind)
        if path is None:
            return
        document = {"schema": SCHEMA, "kind": kind, "venue": self._venue, "at": at, "body": body}
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
                file.write(orjson.dumps(document))
            Path(file.name).replace(path)
        except OSError as error:
            log.warning("%s cannot be written: %s; the next process asks the venue again", path, error.strerror)

    def drop(self, kind: str) -> None:
        """Forget it."""
        if (path := self._path(kind)) is not None:
            path.unlink(missing_ok=True)

    def _path(self, kind: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._venue}.{kind}.json"

    @staticmethod
    def _set_aside(path: Path, error: Exception) -> None:
        aside = path.with_suffix(".damaged")
        log.warning("%s cannot be used (%s); set aside as %s, the venue is asked instead", path, error, aside.name)
        try:
            path.replace(aside)
        except OSError as problem:
            log.warning("%s cannot be set aside: %s", path, problem.strerror)


def rules_out(instruments: Iterable[Instrument]) -> Any:
    """Instruments as JSON: the names of the columns and a row for each."""
    return {
        "columns": _COLUMNS,
        "rows": [
            [str(value) if isinstance(value := getattr(each, name), Decimal) else value for name in _COLUMNS]
            for each in instruments
        ],
    }


def rules_in(body: Any) -> dict[str, Instrument]:
    """The instruments of `rules_out`, exactly; `ValueError` and its like for anything else."""
    if body["columns"] != _COLUMNS or not body["rows"]:
        raise ValueError("no instruments as we write them")
    numbers: dict[str, Decimal] = {}  # a few hundred different ones in thousands of rows

    def number(text: str) -> Decimal:
        if text not in numbers:
            value = Decimal(text)
            if type(text) is not str or not value.is_finite() or value < ZERO:
                raise ValueError(f"{text} is not a bound")
            numbers[text] = value
        return numbers[text]

    found = {}
    for symbol, base, quote, status, spot, contract, *bounds in body["rows"]:
        words = all(type(word) is str for word in (symbol, base, quote, status))
        if not words or {type(spot), type(contract)} != {bool} or len(bounds) != len(_COLUMNS) - 6:
            raise ValueError(f"{symbol} is not a symbol")
        found[symbol] = Instrument(symbol, base, quote, status, spot, contract, *map(number, bounds))
    return found


def universe_out(universe: Universe) -> Any:
    """A universe as JSON, without what was new about it."""
    return {"symbols": universe.symbols, "quote": universe.quote, "skipped": dict(universe.skipped)}


def universe_in(body: Any) -> Universe:
    """The universe of `universe_out`; `ValueError` and its like for anything else."""
    symbols, quote, skipped = body["symbols"], body["quote"], body["skipped"]
    if not symbols or not all(type(word) is str for word in [*symbols, quote, *skipped, *skipped.values()]):
        raise ValueError("no universe")
    return Universe(tuple(symbols), quote, skipped)


def listings_in(body: Mapping[str, Any]) -> dict[str, int]:
    """First daily kline by symbol, UTC ms."""
    return {symbol: int(first) for symbol, first in body.items()}
