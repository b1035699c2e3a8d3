"""Numbers as text, many rows at once: numpy looks four digits up at a time instead of Python one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tradebot.market.bars import Times

PLACES = 8
_BASE = 10_000
_FILL = b"\0"  # what pads words of four bytes; it occurs in no text and is taken out at the end


def _word(text: bytes, *, right: bool = False) -> bytes:
    return text.rjust(4, _FILL) if right else text.ljust(4, _FILL)


def _table(texts: Sequence[bytes]) -> NDArray[np.uint32]:
    return np.frombuffer(b"".join(texts), np.uint32)


@dataclass(frozen=True)
class _Tables:
    """Words of four digits. `inner` holds, for a word with digits before it, the same 10,000 places further on."""

    top: NDArray[np.uint32]
    inner: NDArray[np.uint32]
    last: NDArray[np.uint32]


@cache
def _tables() -> _Tables:
    numbers = range(_BASE)
    digits = _table([b"%04d" % number for number in numbers])
    top = _table([_word(b"%d" % number if number else b"", right=True) for number in numbers])
    last = _table([_word(b"%d" % number, right=True) for number in numbers])
    return _Tables(top, np.concatenate([top, digits]), np.concatenate([last, digits]))


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
        self._layouts: dict[int, tuple[NDArray[np.uint32], Times, Times]] = {}

    def _layout(self, words: int) -> tuple[NDArray[np.uint32], Times, Times]:
        """A row of words, where its wholes begin, and where the places behind a point do."""
        if words not in self._layouts:
            row: list[bytes] = []
            wholes, places = [], []
            for part in self._parts:
                if isinstance(part, bytes):
                    row += [_word(part[at : at + 4]) for at in range(0, len(part), 4)]
                    continue
                wholes.append(len(row))
                row += [_word(b"")] * words
                if part:
                    places.append(len(row) + 1)
                    row += [_word(b"."), *[_word(b"")] * 2]
            self._layouts[words] = _table(row)[:, None], np.array(wholes, np.int64), np.array(places, np.int64)
        return self._layouts[words]

    def fill(self, values: Times, places: Times) -> bytes:
        """The rows one after another.

        `values` is `(slots, rows)` int64, a decimal times 10**places; `places` is `(slots, 1)`, 0 for integers.
        """
        unit = 10**places
        whole = values // unit
        words = max(4, -(-len(str(int(whole.max(initial=0)))) // 4))
        row, wholes, points = self._layout(words)
        out = np.empty((len(row), values.shape[1]), np.uint32)
        out[:] = row
        part = values[self._decimal] - (whole * unit)[self._decimal]
        part *= (10**PLACES // unit)[self._decimal]
        tables = _tables()
        digits = tables.last[_BASE:]
        upper = part // _BASE
        out[points] = digits[upper]
        part -= upper * _BASE
        out[points + 1] = digits[part]
        table = tables.last
        for place in range(words - 1, 0, -1):
            above = whole // _BASE
            whole -= above * _BASE
            whole += (above > 0) * _BASE
            out[wholes + place] = table[whole]
            whole, table = above, tables.inner
        out[wholes] = tables.top[whole]
        return out.T.tobytes().translate(None, _FILL)
