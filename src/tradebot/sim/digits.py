"""Numbers as text, many rows at once: numpy looks four digits up at a time instead of Python one number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, repeat

import numpy as np
from numpy.typing import NDArray

from tradebot.market.bars import Times
from tradebot.sim.cache import Cache

PLACES = 8
_POWERS = 10 ** np.arange(19, dtype=np.int64)
_LAYOUTS = 256
_BASE = 10_000
_FILL = b"\0"  # what pads words of four bytes; it occurs in no text and is taken out at the end


def _places(numbers: Iterable[int]) -> Times:
    return np.fromiter(numbers, np.int64)


def _word(text: bytes) -> bytes:
    return text.ljust(4, _FILL)


@dataclass(frozen=True)
class _Tables:
    """Words of digits: of a number's last four; of its last three and a point; of four that have others behind them.

    The second half of each is for a number that has digits before them too, and so zeros.
    """

    last: NDArray[np.uint32]
    point: NDArray[np.uint32]
    inner: NDArray[np.uint32]


@cache
def _tables() -> _Tables:
    return _Tables(_words_of(4, 1), _words_of(3, 1), _words_of(4, 0))


def _words_of(width: int, least: int) -> NDArray[np.uint32]:
    """Of each number below `10**width`, with at least so many digits and then with all; what is left is a point."""
    numbers, units = np.arange(10**width)[:, None], _POWERS[:width][::-1]
    words = np.full((2, 10**width, 4), ord("."), np.uint8)
    words[..., :width] = numbers // units % 10 + ord("0")
    words[0, :, :width][(numbers < units) & (units > least)] = _FILL[0]
    return words.view(np.uint32).ravel()


@dataclass(frozen=True)
class _Layout:
    """A column of words with all that is fixed, and where the words of numbers go.

    `points` and `lasts` are the places of the last words of decimals, which end with the point, and of integers.
    `uppers` has for the words before those, the last ones first, their places, and which of the numbers have one:
    decimals come first, then of those that had one before.
    """

    words: NDArray[np.uint32]
    points: Times
    lasts: Times
    uppers: list[tuple[Times, Times]]


def text(value: int, places: int) -> str:
    """`value / 10**places` with eight places, further ones cut off."""
    if places > PLACES:
        value, places = value // 10 ** (places - PLACES), PLACES
    whole, part = divmod(value, 10**places)
    return f"{whole}.{part * 10 ** (PLACES - places):08d}"


class Template:
    """Text of rows with slots for numbers ≥ 0, separated by commas.

    Parts are literal text, and for a slot True (a decimal of eight places) or False (an integer).
    """

    def __init__(self, parts: Sequence[bytes | bool]) -> None:
        self._parts = parts
        self._slots = [part for part in parts if isinstance(part, bool)]
        self._decimal, self._integer = (
            [place for place, slot in enumerate(self._slots) if slot is kind] for kind in (True, False)
        )
        self._layouts: Cache[_Layout] = Cache(_LAYOUTS)
        self._line = "".join(part.decode() if isinstance(part, bytes) else "%s" for part in parts)

    def line(self, values: Sequence[int], places: Sequence[int]) -> bytes:
        """`fill` of a single row, which takes a tenth of the time."""
        slots = zip(values, places, self._slots, strict=True)
        return (self._line % tuple(text(value, digits) if slot else value for value, digits, slot in slots)).encode()

    def fill(self, values: Times, places: Times) -> bytes:
        """The rows.

        `values` is `(slots, rows)` int64, a decimal times 10**places; `places` is `(slots, 1)`, 0 for integers.
        """
        return self.pages(values, places, [values.shape[1]])[0]

    def pages(self, values: Times, places: Times, sizes: Sequence[int]) -> list[bytes]:
        """`fill` of several pages side by side, of so many rows each; `places` is `(slots, pages)`."""
        decimals, scales = values[self._decimal], places[self._decimal]
        unit = np.repeat(_POWERS[scales], sizes, axis=1)
        wholes, integers = decimals // unit, values[self._integer]
        parts = decimals
        parts -= wholes * unit
        parts *= np.repeat(_POWERS[PLACES - scales], sizes, axis=1)
        longest = [number.max(axis=1, initial=0).tolist() for number in (wholes, integers)]
        layout = self._layout(tuple(map(_more, longest[0], repeat(3))), tuple(map(_more, longest[1], repeat(4))))
        columns = values.shape[1]
        # Rows of an odd number of cache lines: those of an even one drive each other out where columns are read.
        out = np.empty((len(layout.words), columns // 32 * 32 + 48), np.uint32)[:, :columns]
        out[:] = layout.words
        tables = _tables()
        digits = tables.last[_BASE:]
        upper = parts // _BASE
        out[layout.points + 1] = digits[upper]
        parts -= upper * _BASE
        out[layout.points + 2] = digits[parts]
        point, above = _split(wholes, 1000)
        last, more = _split(integers, _BASE)
        out[layout.points], out[layout.lasts] = tables.point[point], tables.last[last]
        number = np.concatenate([above, more])
        for at, going in layout.uppers:
            word, number = _split(number[going], _BASE)
            out[at] = tables.inner[word]
        rows, ends = out.T, list(accumulate(sizes))
        rows[[end - 1 for end in ends if end], -1] = 0
        return [rows[end - size : end].tobytes().translate(None, _FILL) for end, size in zip(ends, sizes, strict=True)]

    def _layout(self, wholes: tuple[int, ...], integers: tuple[int, ...]) -> _Layout:
        """For numbers with so many words before their last one."""
        known = self._layouts.get((wholes, integers))
        return self._layouts.put((wholes, integers), self._laid_out(wholes, integers), 1) if known is None else known

    def _laid_out(self, wholes: tuple[int, ...], integers: tuple[int, ...]) -> _Layout:
        row: list[bytes] = []
        lasts: dict[bool, list[int]] = {True: [], False: []}
        more = {True: iter(wholes), False: iter(integers)}
        for part in self._parts:
            if isinstance(part, bytes):
                row += [_word(part[at : at + 4]) for at in range(0, len(part), 4)]
                continue
            row += [_word(b"")] * (next(more[part]) + 1)
            lasts[part].append(len(row) - 1)
            row += [_word(b"")] * (2 * part)
        uppers, left = [], list(zip([*lasts[True], *lasts[False]], [*wholes, *integers], strict=True))
        for depth in range(max([*wholes, *integers])):
            going = [place for place, (_, words) in enumerate(left) if words > depth]
            left = [left[place] for place in going]
            uppers.append((_places(last - depth - 1 for last, _ in left), _places(going)))
        words = np.frombuffer(b"".join([*row, _word(b",")]), np.uint32)[:, None]
        return _Layout(words, _places(lasts[True]), _places(lasts[False]), uppers)


def _more(number: int, last: int) -> int:
    """How many words a number takes before its `last` digits."""
    return max(-(-(len(str(number)) - last) // 4), 0)


def _split(numbers: Times, base: int) -> tuple[Times, Times]:
    """Places in a table of words for the last digits of numbers, and what is above these."""
    above = numbers // base
    places = above * -base
    places += numbers
    places += base
    return np.minimum(places, numbers, out=places), above
