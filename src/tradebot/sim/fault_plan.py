"""The plan of faults: what it says, which request it hits, and what it has hit so far."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tradebot.clock import monotonic_ms
from tradebot.config import read_file
from tradebot.errors import ConfigError, UnknownName, suggestion
from tradebot.sim import fault_data, fault_kinds, fault_market
from tradebot.sim.faults import FAULTS, Call, Fault, MarketFault, Outcome, RequestFault, Strike, Wire
from tradebot.sim.noise import key

__all__ = ["FAULTS", "Hit", "Plan", "open_plan", "parse_plan", "parse_spec"]

REMEMBERED = 10_000
ROOMS = (fault_kinds, fault_data, fault_market)  # to import them is to have their faults in FAULTS


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault that hit one request: which of the plan's (from 1), which request (from 1), and when.

    `executed` tells whether the request was handed to the exchange.
    """

    fault: int
    kind: str
    request: int
    time: int
    method: str
    path: str
    symbol: str
    executed: bool


class Plan:
    """Faults in their order, with a seed for what is random.

    The same plan meets the same sequence of requests with the same faults. `hits` are the last
    10,000. A plan may be replaced while the exchange runs; it then counts from the beginning.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self.hits: deque[Hit] = deque(maxlen=REMEMBERED)
        self.changed: list[Callable[[], None]] = []
        self.replace(faults, seed=seed)

    def replace(self, faults: Iterable[Fault], *, seed: int = 0) -> None:
        """Put another plan in its place and tell whoever is listed in `changed`."""
        self.faults: Sequence[Fault] = tuple(faults)
        self.seed = seed
        self.requests = 0
        self.hits.clear()
        self.market = tuple(each for each in self.faults if isinstance(each, MarketFault))
        self._of_requests = [(i, each) for i, each in enumerate(self.faults) if isinstance(each, RequestFault)]
        self._struck = [0] * len(self.faults)
        self._seen = [0] * len(self.faults)
        self._ends: dict[int, float] = {}
        for tell in self.changed:
            tell()

    def meet(self, call: Call, now: int) -> Outcome | None:
        """What becomes of a request at the venue's time `now`; None if nothing happens to it.

        The first fault that decides is enacted (one that lasts goes before the others), and all
        that only add to a reply. Every fault counts all requests that are such as it names,
        whoever hits them.
        """
        self.requests += 1
        outcome, decided = Outcome(), False
        enacted: list[int] = []
        due = [(i, each) for i, each in self._of_requests if self._is_due(i, each, call, now)]
        for index, fault in sorted(due, key=lambda each: self._left_ms(each[0], each[1], now) <= 0):
            if fault.decides and decided:
                continue
            decided |= fault.decides
            enacted.append(index)
            outcome = _together(outcome, fault.outcome(self._strike(index, fault, now)))
        for index in enacted:
            kind, named = self.faults[index].kind, (call.method, call.path, call.symbol)
            self.hits.append(Hit(index + 1, kind, self.requests, now, *named, outcome.executed))
        return outcome if enacted else None

    def shut(self, now: int) -> bool:
        """Whether nobody listens, as far as the time tells: what a server does before anything is asked."""
        for index, fault in enumerate(self.faults):
            if isinstance(fault, fault_kinds.Refused):
                if self._left_ms(index, fault, now) > 0:
                    return True
                if fault.foreseen and fault.in_force(now) and self._may_start(index, fault):
                    if fault.lasts_ms:
                        self._strike(index, fault, now)
                    return True
        return False

    def liquidity(self, symbol: str, now: int) -> Decimal:
        """The share of its quantity that the book gives a new order at the venue's time `now`."""
        partial = [each for each in self.market if isinstance(each, fault_market.PartialFill)]
        return min((each.share for each in partial if each.concerns(symbol) and each.in_force(now)), default=Decimal(1))

    @property
    def skewed(self) -> bool:
        """Whether the exchange's clock goes wrong at any time."""
        return any(isinstance(each, fault_market.Skew) for each in self.faults)

    def skew(self, now: int) -> int:
        """By how many ms the exchange's clock goes wrong at the venue's time `now`."""
        return sum(each.offset(now) for each in self.faults if isinstance(each, fault_market.Skew))

    def _is_due(self, index: int, fault: RequestFault, call: Call, now: int) -> bool:
        meets = fault.meets(call, now)
        self._seen[index] += meets
        if self._left_ms(index, fault, now) > 0:
            return True
        if not meets or self._seen[index] < fault.nth or not self._may_start(index, fault):
            return False
        return fault.rate == 1 or self._luck(index, "rate") < fault.rate

    def _may_start(self, index: int, fault: RequestFault) -> bool:
        return not fault.most or self._struck[index] < fault.most

    def _strike(self, index: int, fault: RequestFault, now: int) -> Strike:
        """The moment of a hit; a lasting fault begins with its first."""
        if self._left_ms(index, fault, now) <= 0:
            self._struck[index] += 1
            self._ends[index] = _reading(fault, now) + fault.lasts_ms
        return Strike(now, self._left_ms(index, fault, now), self._luck(index, "luck"))

    def _left_ms(self, index: int, fault: RequestFault, now: int) -> float:
        return self._ends[index] - _reading(fault, now) if fault.lasts_ms and index in self._ends else 0.0

    def _luck(self, index: int, what: str) -> float:
        return key(self.seed, what, str(index), str(self._seen[index])) / 2**64

    def document(self) -> dict[str, Any]:
        """The plan with its counts, and its hits, as JSON takes it."""
        rows = [
            {"kind": fault.kind, **fault.model_dump(mode="json", exclude_defaults=True), "seen": seen, "struck": struck}
            for fault, seen, struck in zip(self.faults, self._seen, self._struck, strict=True)
        ]
        return {
            "seed": self.seed,
            "requests": self.requests,
            "faults": rows,
            "hits": [asdict(hit) for hit in self.hits],
        }


def _reading(fault: RequestFault, now: int) -> float:
    """The clock that a lasting fault goes by."""
    return monotonic_ms() if fault.real else now


def _together(one: Outcome, other: Outcome) -> Outcome:
    """Both: at most one of them decides, delays and changes add up."""
    decides = other if not other.executed or other.reply or other.wire is not Wire.WHOLE else one
    slow = max(one, other, key=lambda each: each.pieces)
    return replace(
        decides, delay_ms=one.delay_ms + other.delay_ms, edits=one.edits + other.edits,
        share=min(one.share, other.share), pieces=slow.pieces, pause_ms=slow.pause_ms,
    )  # fmt: skip


def fault_of(entry: Mapping[str, Any], where: str) -> Fault:
    """One fault of a table with `kind`; `ConfigError` that names `where`, the key and the nearest right name."""
    given = dict(entry)
    kind = given.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(f"{where}: no kind{suggestion('', FAULTS)}")
    try:
        factory = FAULTS[kind]
    except UnknownName as error:
        raise ConfigError(f"{where}: {error}") from None
    try:
        return factory(**given)
    except ValidationError as error:
        raise ConfigError(f"{where} ({kind}): {_complaint(error, factory)}") from None


def _complaint(error: ValidationError, factory: type[Fault]) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    if first["type"] == "extra_forbidden":
        return f"unknown key '{name}'{suggestion(name, factory.model_fields)}"
    cause = first.get("ctx", {}).get("error")
    reason = str(cause) if isinstance(cause, ValueError) else first["msg"][:1].lower() + first["msg"][1:]
    return f"{name} = {first['input']!r}: {reason}" if name else reason


def parse_plan(tree: Mapping[str, Any], source: str) -> tuple[list[Fault], int]:
    """Faults and seed of `{"seed": n, "fault": [{"kind": …}, …]}`; `ConfigError` naming source, entry and key."""
    for name in tree.keys() - {"seed", "fault"}:
        raise ConfigError(f"{source}: unknown key '{name}'{suggestion(name, ('seed', 'fault'))}")
    entries, seed = tree.get("fault", []), tree.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"{source}: seed = {seed!r}: write a whole number from 0 on")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigError(f"{source}: fault: write each one as a table under [[fault]]")
    return [fault_of(entry, f"{source}: fault {number}") for number, entry in enumerate(entries, 1)], seed


def parse_spec(spec: str) -> Fault:
    """A fault of the command line: its kind, then `key=value` with spaces between."""
    try:
        kind, *pairs = shlex.split(spec) or [""]
    except ValueError as error:
        raise ConfigError(f"--fault '{spec}': {error}; write it as 'latency ms=20'") from None
    given: dict[str, Any] = {"kind": kind}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or name == "kind":
            raise ConfigError(f"--fault '{spec}': '{pair}' is not key=value")
        given[name] = value
    return fault_of(given, f"--fault '{spec}'")


def read_plan(path: Path) -> tuple[list[Fault], int]:
    """Faults and seed of a TOML file; `ConfigError` if it cannot be read or says nothing that is known."""
    source, tree = read_file(path)
    return parse_plan(tree, source)


def open_plan(file: str, specs: Iterable[str] = ()) -> Plan:
    """The plan of a TOML file ('' for none) and of further faults as the command line writes them."""
    faults, seed = read_plan(Path(file).expanduser()) if file else ([], 0)
    return Plan([*faults, *map(parse_spec, specs)], seed=seed)
