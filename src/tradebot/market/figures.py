"""The figures of a kline file, from text: times, counts, and decimals as floats or as integers of 10⁻⁸.

Only plain numbers are read. What is not one is a `ValueError` that says what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import chain

from tradebot.market.bars import FIELDS

PLACES = 8
# What a column may add up to, so that no sum of it passes 64 bits.
LIMIT = 2**62
PRICES = FIELDS[1:5]
_NUMBER = re.compile(r"(?=\.?[0-9])([0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,3}))?")
_WHOLE = re.compile(r"[0-9]{1,18}")


def decimal(text: str) -> float:
    """The float nearest to a decimal number of 0 or more; `ValueError` says why it is none."""
    text = text.strip(" ")
    if not _NUMBER.fullmatch(text):
        raise _no_number(text)
    value = float(text)
    if value == float("inf"):
        raise ValueError("is too large")
    return value


def _no_number(text: str) -> ValueError:
    negative = text.startswith("-") and _NUMBER.fullmatch(text[1:])
    return ValueError("is negative" if negative else "is not a number")


def scaled(text: str) -> int:
    """A decimal times 10⁸; `ValueError` says why it is not one of at most eight places, from 0 to below 2⁶²."""
    whole, _, part = text.partition(".")
    if len(whole) <= 18 and whole.isdigit() and len(part) <= PLACES and (not part or part.isdigit()) and text.isascii():
        return int(whole + part.ljust(PLACES, "0"))  # what nearly every cell is, in half the time
    text = text.strip(" ")
    if not (match := _NUMBER.fullmatch(text)):
        raise _no_number(text)
    whole, part, exponent = match.groups("")
    value, rest = int(whole + part), 0
    shift = PLACES - len(part) + int(exponent or 0)
    unit: int = 10 ** abs(shift)
    if shift >= 0:
        value *= unit
    else:
        value, rest = divmod(value, unit)
    if rest:
        raise ValueError(f"has more than {PLACES} decimal places")
    if value >= LIMIT * 10**PLACES:
        raise ValueError("is too large")
    return value


def count(text: str) -> int:
    """A number of trades; `ValueError` says why it is none."""
    if not _WHOLE.fullmatch(text.strip(" ")):
        raise ValueError("is not a whole number, 0 or more, of at most 18 digits")
    return int(text)


def moment(text: str) -> int:
    """Epoch ms, whether on the interval's grid or not; archives from 2025 on are in microseconds."""
    value = int(text) if _WHOLE.fullmatch(text.strip(" ")) else 0
    if value >= 10**14:
        value //= 1000
    if not 10**11 < value < 10**13:
        raise ValueError("is not a time in ms")
    return value


def places(*columns: Sequence[int]) -> int:
    """The fewest decimal places that hold every number of columns scaled by 10⁸."""
    common, least = math.gcd(*chain.from_iterable(columns)), PLACES
    while least and common % 10 == 0:
        common, least = common // 10, least - 1
    return least


def fill(columns: dict[str, list[int]]) -> None:
    """Add what a file does not say; all amounts are scaled by 10⁸.

    Quote volume is volume × (open + high + low + close) / 4 rounded to eight places, trades 0, the
    takers' half.
    """
    volume = columns["volume"]
    sums = [sum(prices) for prices in zip(*(columns[name] for name in PRICES), strict=True)]
    unit = 4 * 10**PLACES
    if "quote_volume" not in columns:
        columns["quote_volume"] = [(2 * v * s + unit) // (2 * unit) for v, s in zip(volume, sums, strict=True)]
    columns.setdefault("trades", [0] * len(volume))
    if "taker_base" not in columns:
        # Not finer than the volumes: the last place of the amounts is taken for the step of orders.
        step = 2 * 10 ** (PLACES - places(volume))
        columns["taker_base"] = [value // step * step // 2 for value in volume]
    if "taker_quote" not in columns:
        columns["taker_quote"] = [value // 2 for value in columns["quote_volume"]]
