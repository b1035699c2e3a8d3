from __future__ import annotations

import pytest

from tradebot.clock import MINUTE
from tradebot.sim.refusals import Refused
from tradebot.sim.weights import Weights

BEGIN = 28_333_335 * MINUTE


def test_weight_adds_up_for_each_client() -> None:
    weights = Weights(100)
    assert [weights.add("a", 40, BEGIN), weights.add("b", 7, BEGIN), weights.add("a", 2, BEGIN + 1)] == [40, 7, 42]


def test_a_new_calendar_minute_begins_at_nothing() -> None:
    weights = Weights(100)
    weights.add("a", 40, BEGIN + MINUTE - 1)
    assert weights.add("a", 1, BEGIN + MINUTE) == 1


def test_the_limit_itself_is_allowed_and_more_waits_for_the_next_minute() -> None:
    weights = Weights(100)
    weights.check(100, BEGIN)
    with pytest.raises(Refused) as caught:
        weights.check(101, BEGIN + MINUTE - 1500)
    assert (caught.value.code, caught.value.status, caught.value.headers) == (-1003, 429, {"Retry-After": "2"})
    assert "current limit is 100 request weight per 1 MINUTE" in caught.value.text
