"""The error tree: exit codes, retry hints, near names."""

from __future__ import annotations

import re

import pytest

from tradebot import errors
from tradebot.errors import TradebotError, VenueBusy, VenueRejected, VenueUnreachable, suggestion

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TradebotError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_class_has_the_exit_code_that_the_drawn_tree_says(kind: type[TradebotError]) -> None:
    drawn = re.search(rf"\b{kind.__name__}\s+(\d+)", str(errors.__doc__))
    assert drawn is not None
    assert kind.exit_code == int(drawn[1])


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_class_says_what_it_means(kind: type[TradebotError]) -> None:
    assert kind.__doc__


def test_only_what_can_pass_by_itself_is_worth_a_retry() -> None:
    worth = {kind.__name__ for kind in TREE if kind.retryable}
    assert worth == {"VenueUnreachable", "VenueBusy", "BadReply", "KlinesLate", "Locked"}


def test_an_error_carries_what_its_reader_must_act_on() -> None:
    assert VenueUnreachable("cut off").sent
    assert not VenueUnreachable("refused", sent=False).sent
    assert VenueBusy("later", wait_ms=7, status=429).wait_ms == 7
    assert VenueRejected("no", code=-1121, status=400).code == -1121


def test_a_near_name_is_offered() -> None:
    assert suggestion("tredn", ["trend", "revert"]) == "; did you mean 'trend'?"


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert suggestion("zzz", ["trend", "revert"]) == "; known: revert, trend"


def test_a_long_list_of_names_is_cut() -> None:
    listed = suggestion("zzz", [f"name{i:02}" for i in range(20)])
    assert listed.endswith("name11…")


def test_nothing_is_suggested_where_nothing_is_known() -> None:
    assert suggestion("zzz", []) == ""
