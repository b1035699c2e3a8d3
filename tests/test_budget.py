"""The latency budget: what is over it, and how that is told."""

from __future__ import annotations

from tradebot.budget import broken, missed, told

STAGES = {"fetch": 120.0, "analyze": 5.0}


def test_without_a_budget_nothing_is_too_slow() -> None:
    assert list(broken(STAGES, 1e9, {})) == []


def test_stages_and_the_total_have_limits_of_their_own() -> None:
    assert list(broken(STAGES, 130.0, {"fetch": 100.0, "analyze": 5.0})) == [("fetch", 120.0)]
    assert list(broken(STAGES, 130.0, {"total": 129.0})) == [("total", 130.0)]


def test_the_slowest_symbols_are_named() -> None:
    waits = {"A": 1.0, "B": 110.0, "C": 90.0, "D": 95.0}
    assert told("fetch", 120.4, 100.0, waits) == (
        "fetch took 120 ms, its budget is 100 ms; slowest: B 110 ms, D 95 ms, C 90 ms"
    )
    assert told("predict", 2.0, 1.0, {}) == "predict took 2 ms, its budget is 1 ms"


def test_cycles_that_were_missed_are_counted_in_words() -> None:
    assert missed(0) == []
    assert missed(1) == ["1 cycle missed: the one before took too long"]
    assert missed(2) == ["2 cycles missed: the one before took too long"]


def test_of_a_clock_that_jumped_it_is_not_said_that_a_cycle_took_too_long() -> None:
    assert missed(7199, ["the venue's clock jumped by +7200 s"]) == ["7199 cycles missed"]
