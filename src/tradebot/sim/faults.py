"""What can go wrong at a venue: the words in which faults are said, and their registry.

A fault is a frozen pydantic model: its fields say whom it hits (`symbol`, `since`, …) and how. It
never touches a connection itself. One that hits requests answers a `Call` with an `Outcome`, which
`fault_transport` enacts in process and `sockets` on real ones; one that hits the market changes
what the exchange itself says and does (`fault_prices`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, TypeAlias, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tradebot.clock import parse_time
from tradebot.config import Names
from tradebot.errors import UsageError
from tradebot.registry import Registry

CONTROL = "/sim/"  # paths of the simulation itself: no fault hits them
Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A request as faults see it; `symbol` is empty where none is named."""

    method: str
    path: str
    symbol: str = ""


def call_of(method: str, path: str, query: bytes, body: bytes) -> Call:
    """A request's method, path and symbol, which may stand in the query or in a form body."""
    for part in (query, body):
        for name, value in parse_qsl(part.decode("utf-8", "replace")):
            if name == "symbol":
                return Call(method, path, value)
    return Call(method, path)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply. `headers` without the body's length, which follows from the body."""

    status: int
    headers: Headers
    body: bytes


Edit: TypeAlias = Callable[[Call, Reply], Reply]


@dataclass(frozen=True, slots=True)
class Strike:
    """The moment at which a fault hits: the venue's time, how long a lasting one still lasts, and a number
    from 0 to below 1 that is always the same for one request of one plan.
    """

    now: int
    left_ms: float
    luck: float


class Wire(StrEnum):
    """How a reply goes over the wire, if at all."""

    WHOLE = "whole"
    REFUSED = "refused"
    CLOSED = "closed"
    RESET = "reset"
    CUT = "cut"


LOST = frozenset({Wire.REFUSED, Wire.CLOSED, Wire.RESET})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one request.

    It is handed to the exchange if `executed` (with `later_ms` only after the connection has gone);
    then come `delay_ms` of silence, then `reply` or, if that is None, the exchange's own, changed by
    `edits`, by way of `wire`. A body that is CUT ends after `share` of it; one of several `pieces`
    comes with pauses of `pause_ms`. Durations are real.
    """

    executed: bool = True
    later_ms: float = 0.0
    delay_ms: float = 0.0
    reply: Reply | None = None
    edits: tuple[Edit, ...] = ()
    wire: Wire = Wire.WHOLE
    share: float = 1.0
    pieces: int = 1
    pause_ms: float = 0.0

    async def answer(self, call: Call, execute: Callable[[], Awaitable[Reply]]) -> Reply | None:
        """Carry the request out, if it is, and give what is to be sent; None for nothing at all."""
        given = await execute() if self.executed else None
        reply = self.reply or given
        if reply is None or self.wire in LOST:
            return None
        for edit in self.edits if self.reply is None else ():
            reply = edit(call, reply)
        return reply

    def sent(self, body: bytes) -> list[bytes]:
        """What of a body goes over the wire, in its pieces."""
        part = body[: int(len(body) * self.share)]
        size = max(1, -(-len(part) // self.pieces))
        return [part[at : at + size] for at in range(0, len(part), size)]


def _moment(value: object) -> object:
    """A time as TOML, JSON or the command line write it."""
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    try:
        return parse_time(str(value))
    except UsageError as error:
        raise ValueError(str(error)) from None  # what pydantic collects, so that the message names the key


Moment = Annotated[int, BeforeValidator(_moment)]


class Fault(BaseModel):
    """An entry of a plan. `since` is inclusive, `until` is not; both are the venue's time, UTC ms."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str] = ""
    text: ClassVar[str] = ""

    since: Moment | None = Field(None, description="From this venue time on.")
    until: Moment | None = Field(None, description="Before this venue time.")

    @model_validator(mode="after")
    def _in_order(self) -> Fault:
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until is not after since")
        return self

    def in_force(self, now: int) -> bool:
        """Whether the venue time `now` lies within its bounds."""
        return (self.since is None or now >= self.since) and (self.until is None or now < self.until)


class Selective(Fault):
    """A fault of some symbols or of all."""

    symbol: Names = Field((), description="Only these symbols, separated by commas.")

    def concerns(self, symbol: str) -> bool:
        """Whether it is about this symbol."""
        return not self.symbol or symbol in self.symbol


class RequestFault(Selective):
    """A fault of single requests.

    One that `decides` says alone what comes back, so only the first of several that meet a request
    is enacted; the others add to it.
    """

    decides: ClassVar[bool] = True
    real: ClassVar[bool] = False  # whether `lasts_ms` are real ms and not the venue's

    path: str = Field("", description="Only this path; `order` is any path that ends in `/order`, `*` any text.")
    method: str = Field("", description="Only this method.")
    nth: int = Field(0, ge=0, description="From the n-th such request on; alone, only that one. 0: from the first.")
    times: int = Field(0, ge=0, description="At most so many requests; 0: one with `nth`, else any number.")
    rate: float = Field(1.0, ge=0, le=1, description="Share of such requests that are hit, at random by the seed.")

    def meets(self, call: Call, now: int) -> bool:
        """Whether a request is such a one; counts and luck are the plan's."""
        return (
            self.in_force(now)
            and self.concerns(call.symbol)
            and (not self.method or call.method == self.method.upper())
            and (not self.path or _fits(call.path, self.path))
        )

    @property
    def most(self) -> int:
        """How many requests it hits at most; 0 is any number."""
        return self.times or (1 if self.nth else 0)

    def outcome(self, strike: Strike) -> Outcome:
        """What becomes of a request that it hits."""
        raise NotImplementedError

    @property
    def lasts_ms(self) -> float:
        """How long every request is hit once one was; 0: each is judged by itself."""
        return 0.0


def _fits(path: str, pattern: str) -> bool:
    return path == pattern or path.endswith(f"/{pattern}") or fnmatchcase(path, pattern)


class MarketFault(Selective):
    """A fault of what is traded: every endpoint and every client sees the same."""


FAULTS: Registry[type[Fault]] = Registry("fault")
F = TypeVar("F", bound=type[Fault])


def fault(kind: str) -> Callable[[F], F]:
    """Decorator that files a class under its kind; its docstring is the text that people read."""

    def file(entry: F) -> F:
        entry.kind, entry.text = kind, " ".join((entry.__doc__ or "").split())
        FAULTS.register(kind)(entry)
        return entry

    return file
