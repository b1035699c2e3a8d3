"""Every kind of fact can be written and read back."""

from __future__ import annotations

from typing import get_args

from tradebot.trading import facts


def test_every_kind_has_a_name_of_its_own_under_which_it_is_read():
    assert {kind.__name__.lower() for kind in get_args(facts.Fact)} == set(facts.FACTS)


def test_what_is_missing_in_an_old_one_has_its_default():
    moved = facts.reader("moved").validate_json('{"client_id":"tb-1","event":"accepted"}')
    assert (moved.executed, moved.code, moved.list_id) == (None, 0, None)
