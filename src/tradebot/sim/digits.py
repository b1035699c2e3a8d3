"""Numbers as text, many rows at once: numpy looks four digits up at a time instead of Python one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tradebot.market.bars import Times
from tradebot.sim.cache import Cache

PLACES = 8
_POWERS = 10 ** np.arange(19, dtype=np.int64)
_LAYOUTS = 256
_BASE = 10_000
_FILL = b"\0"  # what pads words of four bytes; it occurs in no text and is taken out at the end


def _word(text: bytes) -> bytes:
    return text.ljust(4, _FILL)


def _table(texts: Sequence[bytes]) -> NDArray[np.uint32]:
    return np.frombuffer(b"".join(texts), np.uint32)


@dataclass(frozen=True)
class _Tables:
    """Words of four digits: of a number's last ones, and of those before; 10,000 places further on with zeros before.

    So digits are written that have others before them.
    """

    last: NDArray[np.uint32]
    inner: NDArray[np.uint32]


@cache
def _tables() -> _Tables:
    numbers, units = np.arange(_BASE)[:, None], _POWERS[3::-1]
    digits = (numbers // units % 10 + ord("0")).astype(np.uint8)
    inner = np.where(numbers >= units, digits, _FILL[0]).astype(np.uint8)
    last = inner.copy()
    last[0, -1] = ord("0")
    return _Tables(*(np.concatenate([first, digits]).view(np.uint32).ravel() for first in (last, inner)))


@dataclass(frozen=True)
class _Layout:
    """A column of words with all that is fixed, and where the words of numbers go.

    `wholes` has for the last, the last but one … word of whole numbers their places, and which of these
    numbers go on with one more; `points` the places after the points of decimals.
    """

    words: NDArray[np.uint32]
    wholes: list[tuple[Times, Times]]
    points: Times


def text(value: int, places: int) -> str:
    """`value / 10**places` with eight places, further ones cut off."""
    if places > PLACES:
        value, places = value // 10 ** (places - PLACES), PLACES
    whole, part = divmod(value, 10**places)
    return f"{whole}.{part * 10 ** (PLACES - places):08d}"


class Template:
    """Text of rows with slots for numbers ≥ 0.

    Parts are literal text, and for a slot True (a decimal of eight places) or False (an integer).
    """

    def __init__(self, parts: Sequence[bytes | bool]) -> None:
        self._parts = parts
        self._slots = [part for part in parts if isinstance(part, bool)]
        self._decimal = [place for place, slot in enumerate(self._slots) if slot]
        self._layouts: Cache[_Layout] = Cache(_LAYOUTS)
        self._line = "".join(part.decode() if isinstance(part, bytes) else "%s" for part in parts)

    def line(self, values: Sequence[int], places: Sequence[int]) -> bytes:
        """`fill` of a single row, which takes a tenth of the time."""
        slots = zip(values, places, self._slots, strict=True)
        return (self._line % tuple(text(value, digits) if slot else value for value, digits, slot in slots)).encode()

    def fill(self, values: Times, places: Times) -> bytes:
        """The rows one after another.

        `values` is `(slots, rows)` int64, a decimal times 10**places; `places` is `(slots, 1)`, 0 for integers.
        """
        return self.pages(values, places, [values.shape[1]])[0]

    def pages(self, values: Times, places: Times, sizes: Sequence[int]) -> list[bytes]:
        """`fill` of several pages side by side, of so many rows each; `places` is `(slots, pages)`."""
        unit = np.repeat(_POWERS[places], sizes, axis=1)
        whole = values // unit
        part = values[self._decimal] - (whole * unit)[self._decimal]
        part *= (_POWERS[PLACES] // unit)[self._decimal]
        layout = self._layout(tuple(_words(top) for top in whole.max(axis=1, initial=0).tolist()))
        out = np.empty((len(layout.words), values.shape[1]), np.uint32)
        out[:] = layout.words
        digits = _tables().last[_BASE:]
        upper = part // _BASE
        out[layout.points] = digits[upper]
        part -= upper * _BASE
        out[layout.points + 1] = digits[part]
        _write(whole, layout.wholes, out)
        rows, ends = out.T, list(accumulate(sizes))
        return [rows[end - size : end].tobytes().translate(None, _FILL) for end, size in zip(ends, sizes, strict=True)]

    def _layout(self, widths: tuple[int, ...]) -> _Layout:
        """For whole numbers of so many words."""
        known = self._layouts.get(widths)
        return self._layouts.put(widths, self._laid_out(widths), 1) if known is None else known

    def _laid_out(self, widths: tuple[int, ...]) -> _Layout:
        row: list[bytes] = []
        lasts, points, width = [], [], iter(widths)
        for part in self._parts:
            if isinstance(part, bytes):
                row += [_word(part[at : at + 4]) for at in range(0, len(part), 4)]
                continue
            row += [_word(b"")] * next(width)
            lasts.append(len(row) - 1)
            if part:
                points.append(len(row) + 1)
                row += [_word(b"."), *[_word(b"")] * 2]
        wholes, slots = [], list(range(len(widths)))
        for depth in range(max(widths)):
            going = [place for place, slot in enumerate(slots) if widths[slot] > depth + 1]
            wholes.append((np.array([lasts[slot] - depth for slot in slots]), np.array(going, np.int64)))
            slots = [slots[place] for place in going]
        return _Layout(_table(row)[:, None], wholes, np.array(points, np.int64))


def _words(number: int) -> int:
    """How many words a number takes, at least one."""
    return max(-(-len(str(number)) // 4), 1)


def _write(whole: Times, wholes: list[tuple[Times, Times]], out: NDArray[np.uint32]) -> None:
    """Whole numbers, their last words first."""
    table = _tables().last
    for places, going in wholes:
        above = whole // _BASE
        word = whole - above * _BASE
        word += np.minimum(above, 1) * _BASE
        out[places] = table[word]
        whole, table = above[going], _tables().inner
