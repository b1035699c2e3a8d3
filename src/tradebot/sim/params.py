"""The parameters of a request, read the way the venue reads them."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TypeVar
from urllib.parse import parse_qsl

import orjson

from tradebot.sim.refusals import Refused, illegal, invalid, missing, overflowed

_DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
DIGITS = 20  # of a whole number, at most
_INTEGER = rf"^[0-9]{{1,{DIGITS}}}$"
# The venue writes its rule in Java's dialect; symbols may hold letters beyond ASCII.
_SYMBOL_RULE = r"^[\w\-._&&[^a-z]]{1,50}$"
_SYMBOL = r"^(?:[^\Wa-z]|[-.]){1,50}$"
CLIENT_ID = r"^[a-zA-Z0-9-_]{1,36}$"
PLACES = 8
MICROSECONDS = 10**14
LARGEST = 2**63 - 1
_MOST = Decimal(LARGEST).scaleb(-PLACES)
LAST_MOMENT = 253_402_300_799_999  # the end of the year 9999, UTC ms

E = TypeVar("E", bound=StrEnum)
_compiled = cache(re.compile)


def _pairs(text: str) -> list[tuple[str, str]]:
    if "%" in text or "+" in text:
        return parse_qsl(text, keep_blank_values=True)
    # The same of what holds nothing to decode, at a fifth of the cost.
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split("&") if part)]


class Params(dict[str, str]):
    """Query string and form body as one mapping; in both, the query string wins.

    Methods raise `Refused` with the venue's code for what is missing, malformed or out of range,
    and return None where an optional parameter was not sent. `key` is the API key of a request whose
    signature was checked, else empty.
    """

    def __init__(self, query: bytes, body: bytes = b"") -> None:
        super().__init__()
        self.key = ""
        for part in (body, query):
            pairs = _pairs(part.decode("utf-8", "replace"))
            named = dict(pairs)
            if len(named) < len(pairs):
                raise Refused(-1101, "Duplicate values for a parameter detected.")
            self.update(named)

    def only(self, known: Collection[str]) -> None:
        """Refuse parameters that the endpoint does not know."""
        if self.keys() - known:
            read = len(self.keys() & set(known))
            text = f"read '{read}' parameter(s) but was sent '{len(self)}'."
            raise Refused(-1104, f"Not all sent parameters were read; {text}")

    def text(self, name: str, legal: str, shown: str = "") -> str | None:
        """A parameter that matches the regular expression `legal`; a refusal tells `shown`, or that."""
        value = self.get(name)
        if value is None:
            return None
        if not value:
            raise Refused(-1105, f"Parameter '{name}' was empty.")
        if not _compiled(legal).fullmatch(value):  # `$` alone would let a line's end through
            raise illegal(name, shown or legal)
        return value

    def must(self, name: str) -> None:
        """Refuse the request without this parameter."""
        if not self.get(name):
            raise missing(name)

    def symbol(self) -> str:
        """The mandatory symbol, not yet looked up."""
        self.must("symbol")
        return self.text("symbol", _SYMBOL, _SYMBOL_RULE) or ""

    def symbols(self) -> list[str] | None:
        """`symbol`, or the JSON array `symbols`; None for neither, a refusal for both."""
        if "symbols" not in self:
            return [self.symbol()] if "symbol" in self else None
        if "symbol" in self:
            raise Refused(-1128, "Combination of optional parameters invalid.")
        try:
            names = orjson.loads(self["symbols"])
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise illegal("symbols", r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$')
        if len(set(names)) < len(names):
            raise Refused(-1151, "Symbol is present multiple times in the list.")
        return names

    def integer(self, name: str) -> int | None:
        """A whole number ≥ 0 of at most 63 bits, which is what the venue counts with."""
        text = self.text(name, _INTEGER)
        if text is None:
            return None
        if (value := int(text)) > LARGEST:
            raise overflowed(name)
        return value

    def time(self, name: str) -> int | None:
        """A moment in ms, at most the last of the calendar; microseconds are taken too."""
        value = self.integer(name)
        if value is None:
            return None
        return min(value // 1000 if value >= MICROSECONDS else value, LAST_MOMENT)

    def limit(self, usual: int, most: int) -> int:
        """The number of rows: at least 1, cut to `most`."""
        value = self.integer("limit")
        if value == 0:
            raise invalid("limit")
        return usual if value is None else min(value, most)

    def flag(self, name: str) -> bool:
        """A word of yes or no, in any case; no where it was not sent."""
        value = self.get(name, "false").lower()
        if value not in {"true", "false"}:
            raise illegal(name, "^(true|false)$")
        return value == "true"

    def amount(self, name: str) -> Decimal | None:
        """A plain decimal of at most eight places and, with them, 63 bits."""
        value = self.text(name, _DECIMAL)
        if value is None:
            return None
        if len(value.partition(".")[2]) > PLACES:
            raise Refused(-1111, f"Parameter '{name}' has too much precision.")
        if (amount := Decimal(value)) > _MOST:
            raise overflowed(name)
        return amount

    def one_of(self, name: str, kind: type[E], problem: Refused) -> E:
        """A mandatory member of an enumeration; `problem` for any other word."""
        self.must(name)
        try:
            return kind(self[name])
        except ValueError:
            raise problem from None
