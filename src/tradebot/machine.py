"""State machines as tables: `(state, event) → state` and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar

from tradebot.errors import ImpossibleTransition

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Machine(Generic[S, E]):
    """A transition table with a name and an initial state.

    States without a way out are terminal. The table is data: documentation is drawn from it
    and tests walk it.
    """

    name: str
    initial: S
    table: Mapping[tuple[S, E], S]

    def step(self, state: S, event: E) -> S:
        """The state that follows; `ImpossibleTransition` if the table has no such row."""
        try:
            return self.table[state, event]
        except KeyError:
            raise ImpossibleTransition(f"{self.name}: '{event}' is impossible in state '{state}'") from None

    def run(self, events: Iterable[E]) -> S:
        """The state after `events`, from the initial one."""
        state = self.initial
        for event in events:
            state = self.step(state, event)
        return state

    def events(self, state: S) -> list[E]:
        """The events that `state` knows."""
        return [event for (origin, event) in self.table if origin == state]

    @cached_property
    def terminal(self) -> frozenset[S]:
        """The states that nothing leads out of."""
        return frozenset(self.table.values()) - {origin for origin, _ in self.table}

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram."""
        rows = [f"    {origin} --> {target}: {event}" for (origin, event), target in self.table.items()]
        ends = [f"    {state} --> [*]" for state in sorted(self.terminal)]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {self.initial}", *rows, *ends])
