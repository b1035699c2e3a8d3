"""Replies in microseconds, for clients that ask for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from tradebot.sim.refusals import Refused

# The fields of replies that are times; the open and close times of a kline have no names.
TIMES = frozenset({
    "serverTime", "time", "transactTime", "updateTime", "workingTime", "transactionTime", "openTime", "closeTime", "T",
})  # fmt: skip
_KLINE = 12
_HEADER = b"x-mbx-time-unit"


def asked(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request's headers ask for microseconds; `Refused` -1194 for another unit than µs and ms."""
    unit = next((value.upper() for name, value in headers if name == _HEADER), b"MILLISECOND")
    if unit not in (b"MICROSECOND", b"MILLISECOND"):
        raise Refused(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    return unit == b"MICROSECOND"


def in_microseconds(content: Any) -> Any:
    """A reply (what JSON is made of, or its bytes) whose times are told in µs instead of ms.

    An `orjson.Fragment` in it stays as it is: what was written beforehand holds no times.
    """
    return _scaled(orjson.loads(content) if isinstance(content, bytes) else content)


def _scaled(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _time(value) if name in TIMES else _scaled(value) for name, value in content.items()}
    if not isinstance(content, list):
        return content
    if len(content) == _KLINE and isinstance(content[0], int):
        # The last instant of a bar is that before the next one's first.
        return [content[0] * 1000, *content[1:6], content[6] * 1000 + 999, *content[7:]]
    return [_scaled(each) for each in content]


def _time(value: Any) -> Any:
    """Where there is none the venue writes -1."""
    return value * 1000 if isinstance(value, int) and value > 0 else value
