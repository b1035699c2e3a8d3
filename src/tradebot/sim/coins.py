"""What the synthetic market lists: thirty known coins at plausible levels, then invented ones.

The list is a prefix: the first n coins do not depend on n, nor on the seed of the prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, count, islice

from tradebot.clock import DAY
from tradebot.market.venue import Instrument
from tradebot.sim import noise

QUOTE = "USDT"
LISTED = 1_483_228_800_000  # 2017-01-01
MIN_NOTIONAL = Decimal(5)
_LOTS = 9_000_000
_FIRST, _LAST = "BCDFGKLMNPRSTVXZ", "KLMNRSTVXZ"
_OLD = 40  # that many of the most traded coins have always been listed; of the others one in `_ONE_IN` has not
_ONE_IN = 6
_FROM, _DAYS = 1_514_764_800_000, 2557  # such a coin is listed at a midnight of the years 2018 to 2024
_TAILS = ("", "A", "I", "O", "EX", "UN", "AR", "IS", "OM", "ET", "IX", "AN")

# name, price level, decimal places of price and of amount, turnover of a day in millions,
# volatility of a day in percent (without the market's), share of the market's moves in percent
_KNOWN = """
BTC   62000    2 5 1800 1.0  90
ETH   3000     2 4 1100 1.6 110
BNB   580      2 3  220 1.5  90
SOL   150      2 3  420 2.6 130
XRP   0.55     4 1  310 2.4 100
DOGE  0.12     5 0  210 3.2 130
ADA   0.45     4 1  120 2.5 115
TRX   0.1200   5 1   90 1.6  60
AVAX  28       3 2   95 3.0 130
LINK  14       3 2   80 2.7 120
DOT   6.5      3 2   60 2.6 115
LTC   75       2 3   90 2.0  95
BCH   380      2 3   75 2.4 105
NEAR  5.2      3 1   85 3.4 135
UNI   8.4      3 2   45 3.1 120
ETC   23       3 2   50 2.4 110
APT   8.8      3 2   55 3.5 135
ATOM  7.1      3 2   40 2.5 115
FIL   4.4      3 2   42 2.9 125
ARB   0.9      5 1   65 3.3 135
OP    1.9      4 2   52 3.5 140
INJ   22       3 2   38 3.9 140
SUI   1.1      4 1  110 3.8 135
AAVE  95       2 3   34 3.0 120
XLM   0.1      5 0   32 2.3 100
ALGO  0.16     5 0   26 2.7 115
XMR   160      2 3   22 1.9  70
DASH  27       3 2   14 2.3  95
SAND  0.36     5 0   20 3.2 130
ZEC   24       3 2   16 2.8 105
"""


@dataclass(frozen=True, slots=True)
class Coin:
    """A listed symbol and the constants of its price process."""

    instrument: Instrument
    level: float
    price_places: int
    amount_places: int
    turnover: float
    volatility: float
    beta: float
    listed: int = LISTED


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table above."""

    name: str
    level: Decimal
    price_places: int
    amount_places: int
    millions: float
    own_percent: float
    beta_percent: float
    listed: int = LISTED

    def coin(self) -> Coin:
        """The coin with rules that suit its level."""
        step = Decimal(1).scaleb(-self.amount_places)
        instrument = Instrument(
            symbol=self.name + QUOTE, base=self.name, quote=QUOTE, tick=Decimal(1).scaleb(-self.price_places),
            step=step, min_quantity=step, max_quantity=step * _LOTS * 1000, max_market_quantity=step * _LOTS * 100,
            min_notional=MIN_NOTIONAL, max_notional=Decimal(9_000_000),
        )  # fmt: skip
        return Coin(
            instrument, float(self.level), self.price_places, self.amount_places,
            self.millions * 1e6, self.own_percent / 100, self.beta_percent / 100, self.listed,
        )  # fmt: skip


def _known() -> Iterator[_Row]:
    for line in _KNOWN.strip().split("\n"):
        name, level, price, amount, millions, own, beta = line.split()
        yield _Row(name, Decimal(level), int(price), int(amount), float(millions), float(own), float(beta))


def _invented(taken: set[str]) -> Iterator[_Row]:
    """Endless pronounceable names; level, liquidity, volatility and listing drawn from the name's place."""
    old = _OLD - len(taken)
    for place in count():
        first, vowel, last, tail, digits, level, own, beta = noise.key(place, "coin").to_bytes(8, "big")
        name = _FIRST[first % 16] + "AEIOU"[vowel % 5] + _LAST[last % 10] + _TAILS[tail % len(_TAILS)]
        if name in taken:
            continue
        taken.add(name)
        places = 2 + digits % 4
        # Between 5,000 and 30,000 ticks at its usual level, whatever the tick.
        ticks = Decimal(5000 + 98 * level)
        millions = 1200 / (60 + place)
        listed = LISTED if old > 0 else _listing(place)
        decimals = max(0, 5 - places)
        yield _Row(name, ticks.scaleb(-places), places, decimals, millions, 2 + own / 85, 60 + beta / 3, listed)
        old -= 1


def _listing(place: int) -> int:
    drawn, rest = divmod(noise.key(place, "listing"), _ONE_IN)
    return LISTED if rest else _FROM + drawn % _DAYS * DAY


def coins(number: int) -> list[Coin]:
    """The first `number` coins of the endless list, the most traded ones first."""
    known = list(_known())
    rows = chain(known, _invented({row.name for row in known}))
    return [row.coin() for row in islice(rows, number)]
