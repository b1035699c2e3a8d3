from __future__ import annotations

import pytest

from tradebot.clock import MINUTE
from tradebot.sim.refusals import Refused
from tradebot.sim.weights import PATIENCE, Weights

BEGIN = 28_333_335 * MINUTE


def test_weight_adds_up_for_each_client() -> None:
    weights = Weights(100)
    assert [weights.add("a", 40, BEGIN), weights.add("b", 7, BEGIN), weights.add("a", 2, BEGIN + 1)] == [40, 7, 42]


def test_a_new_calendar_minute_begins_at_nothing() -> None:
    weights = Weights(100)
    weights.add("a", 40, BEGIN + MINUTE - 1)
    assert weights.add("a", 1, BEGIN + MINUTE) == 1


def check(weights: Weights, now: int, client: str = "a") -> tuple[int, int, str]:
    """Code, status and Retry-After of a refusal; zeros if there is none."""
    try:
        weights.check(client, now)
    except Refused as no:
        return no.code, no.status, no.headers["Retry-After"]
    return 0, 0, ""


def over(weights: Weights, now: int, client: str = "a") -> None:
    weights.add(client, weights.limit + 1, now)


def test_the_limit_itself_is_allowed_and_more_waits_for_the_next_minute() -> None:
    weights = Weights(100)
    weights.add("a", 100, BEGIN)
    assert check(weights, BEGIN) == (0, 0, "")
    weights.add("a", 1, BEGIN)
    with pytest.raises(Refused, match="current limit is 100 request weight per 1 MINUTE"):
        weights.check("a", BEGIN)
    assert check(weights, BEGIN + MINUTE - 1500) == (-1003, 429, "2")
    assert check(weights, BEGIN, "b") == (0, 0, "")
    weights.add("a", 1, BEGIN + MINUTE)
    assert check(weights, BEGIN + MINUTE) == (0, 0, "")


def banned(weights: Weights, now: int) -> str:
    """How long a client is banned that goes on asking."""
    over(weights, now)
    for _ in range(PATIENCE):
        assert check(weights, now)[1] == 429
    code, status, wait = check(weights, now)
    assert (code, status) == (-1003, 418)
    return wait


def test_who_goes_on_asking_is_banned_and_told_until_when() -> None:
    weights = Weights(100)
    assert banned(weights, BEGIN) == "120"
    with pytest.raises(Refused, match=f"IP banned until {BEGIN + 2 * MINUTE}"):
        weights.check("a", BEGIN + 1)
    weights.add("a", 1, BEGIN + MINUTE)
    assert check(weights, BEGIN + MINUTE + 1) == (-1003, 418, "60")
    assert check(weights, BEGIN, "b") == (0, 0, "")
    weights.add("a", 1, BEGIN + 2 * MINUTE)
    assert check(weights, BEGIN + 2 * MINUTE) == (0, 0, "")


def test_each_ban_is_twice_as_long_as_the_one_before_up_to_three_days() -> None:
    weights, now, waits = Weights(100), BEGIN, []
    for _ in range(14):
        waits.append(int(banned(weights, now)))
        now += waits[-1] * 1000
    assert waits[:3] == [120, 240, 480]
    assert waits[-2:] == [3 * 86_400] * 2
