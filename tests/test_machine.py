"""State machines as tables."""

from __future__ import annotations

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import ImpossibleTransition
from tradebot.machine import Machine


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    LOCKED = "locked"
    GONE = "gone"


class Act(StrEnum):
    PUSH = "push"
    PULL = "pull"
    TURN = "turn"
    BREAK = "break"


DOOR = Machine(
    "door",
    Door.OPEN,
    {
        (Door.OPEN, Act.PUSH): Door.SHUT,
        (Door.SHUT, Act.PULL): Door.OPEN,
        (Door.SHUT, Act.TURN): Door.LOCKED,
        (Door.LOCKED, Act.TURN): Door.SHUT,
        (Door.LOCKED, Act.BREAK): Door.GONE,
    },
)


def test_a_state_follows_from_the_state_and_the_event() -> None:
    assert DOOR.step(Door.SHUT, Act.TURN) is Door.LOCKED


def test_an_event_that_a_state_does_not_know_is_impossible() -> None:
    with pytest.raises(ImpossibleTransition, match="door: 'break' is impossible in state 'open'"):
        DOOR.step(Door.OPEN, Act.BREAK)


def test_states_without_a_way_out_are_terminal() -> None:
    assert DOOR.terminal == {Door.GONE}


def test_the_events_of_a_state_are_listed() -> None:
    assert DOOR.events(Door.SHUT) == [Act.PULL, Act.TURN]
    assert DOOR.events(Door.GONE) == []


@given(st.lists(st.sampled_from(Act), max_size=30))
def test_any_run_follows_the_table_or_stops_at_an_impossible_event(events: list[Act]) -> None:
    state = DOOR.initial
    for count, event in enumerate(events):
        if event not in DOOR.events(state):
            with pytest.raises(ImpossibleTransition):
                DOOR.run(events[: count + 1])
            return
        state = DOOR.step(state, event)
    assert DOOR.run(events) is state


@given(st.data())
def test_a_run_of_known_events_ends_in_a_terminal_state_or_goes_on(data: st.DataObject) -> None:
    state = DOOR.initial
    for _ in range(20):
        if not (events := DOOR.events(state)):
            break
        state = DOOR.step(state, data.draw(st.sampled_from(events)))
    assert (state in DOOR.terminal) == (not DOOR.events(state))


def test_the_diagram_shows_every_row_and_every_end() -> None:
    lines = DOOR.mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> open"]
    assert "    locked --> gone: break" in lines
    assert lines[-1] == "    gone --> [*]"
    assert len(lines) == 2 + len(DOOR.table) + len(DOOR.terminal)
