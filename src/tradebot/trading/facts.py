"""What the journal is made of: facts, which are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from tradebot.market.venue import Fill, Payment
from tradebot.trading.orders import Moved, Outcome
from tradebot.trading.positions import Position, PositionEvent
from tradebot.trading.risk.record import Record


@dataclass(frozen=True)
class Intended:
    """A decision, before anything is sent: the order and the positions as they are because of it."""

    order: Outcome
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class Filled:
    """A fill of an order. One that is booked already changes nothing."""

    client_id: str
    fill: Fill


@dataclass(frozen=True)
class Judged:
    """A step of a position that no order caused."""

    position: str
    event: PositionEvent


@dataclass(frozen=True)
class Released:
    """A person's word: of this position no more than `left` (base coin) is there, and the rest is written off.

    `cost` is what was paid for that rest, in quote coin.
    """

    position: str
    left: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Identified:
    """The venue's own number of the account that is traded, and what tells our orders from those of other journals."""

    uid: str
    seal: str = ""


@dataclass(frozen=True)
class Wiped:
    """A person's word that the venue made the account anew, so that its trades are numbered anew too."""


@dataclass(frozen=True)
class Audited:
    """What a comparison with the venue found: orders and trades of others by symbol, and what does not add up."""

    external: Mapping[str, str]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Funded:
    """Funding of a position's contract. A payment that is booked already changes nothing."""

    position: str
    payment: Payment


@dataclass(frozen=True)
class Watched:
    """What prices have done to a position: its best mark and its stop, of which neither ever goes back."""

    position: str
    best: Decimal
    stop: Decimal


Fact: TypeAlias = (
    Intended | Moved | Filled | Judged | Released | Identified | Wiped | Audited | Watched | Funded | Record
)

FACTS: dict[str, type[Any]] = {
    "intended": Intended,
    "moved": Moved,
    "filled": Filled,
    "judged": Judged,
    "released": Released,
    "identified": Identified,
    "wiped": Wiped,
    "audited": Audited,
    "watched": Watched,
    "funded": Funded,
    "record": Record,
}
"""Every kind of fact by its name in the journal."""


@cache
def reader(kind: str) -> TypeAdapter[Any]:
    """What reads facts of a kind from the journal; made when it is first wanted, which takes a millisecond each."""
    return TypeAdapter(FACTS[kind])
