"""One measured cycle, and whether two decided the same."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tradebot.bench.cycles import Flight, Sample, difference, floor, waits
from tradebot.bench.rig import Workload
from tradebot.cycle import Cycle
from tradebot.look import STAGES, Watch
from tradebot.market.venue import Side
from tradebot.trading.orders import ENTER, GUARD_STOP, Outcome


def taken(signals: dict[tuple[str, str, int], float] | None = None) -> Sample:
    return Sample(0, 10.0, dict.fromkeys(STAGES, 1.0), requests=2, cpu_s=0.5, signals=signals or {})


WORKLOAD = Workload(200, ("5m", "15m", "1h"), 100, 50.0, 50, 2)


def flight(what: str, start: float = 0.0, end: float = 50.0) -> Flight:
    return start, end, f"/api/v3/{what}?symbol=BTCUSDT"


def cycle(*intents: str) -> Cycle:
    """One that has sent orders of these intents."""
    made = Cycle(1, 0, Watch(), 0, 0)
    for number, intent in enumerate(intents):
        made.outcomes.append(Outcome(
            client_id=str(number), symbol="A", side=Side.BUY, quantity=Decimal(1), price=Decimal(1), intent=intent,
            bar_time=0, created=0, position="A",
        ))  # fmt: skip
    made.orders = {each.client_id: {"intent": 1.0, "sent": 2.0} for each in made.outcomes}
    return made


@pytest.mark.parametrize(
    ("flights", "intents", "rounds"),
    [
        ([], (), 0),
        ([flight("ticker/price")], (), 1),
        ([flight("klines")] * 50, (), 1),
        ([flight("klines")] * 51, (), 2),
        ([flight("klines")] * 600, (ENTER, ENTER), 13),
        ([flight("klines")] * 600, (ENTER, GUARD_STOP, ENTER, GUARD_STOP), 14),
        ([flight("klines", 60.0, 110.0), flight("ticker/24hr", 0.0, 55.0)], (), 2),
        ([flight("klines", 10.0, 60.0), flight("exchangeInfo", 0.0, 55.0)], (), 1),
    ],
)
def test_the_network_takes_a_round_for_what_needs_the_reply_of_another(
    flights: list[Flight], intents: tuple[str, ...], rounds: int
) -> None:
    assert floor(cycle(*intents), flights, WORKLOAD) == rounds * 50.0


def test_orders_that_were_never_sent_take_no_round() -> None:
    made = cycle(ENTER)
    made.orders = {}
    assert floor(made, [flight("klines")], WORKLOAD) == 50.0


def test_idle_is_what_neither_network_nor_processor_explains() -> None:
    assert [replace(taken(), floor_ms=ms, cpu_s=0.002).idle for ms in (0.0, 5.0, 12.0)] == [0.8, 0.5, 0.0]


def test_only_5m_closes_after_the_cold_cycle_count_for_bar_close_to_order() -> None:
    samples = [replace(taken(), minute=minute, latency=[{"sent": minute}]) for minute in range(11)]
    assert waits(samples) == [{"sent": 5}, {"sent": 10}]


def test_the_same_decisions_are_no_difference() -> None:
    key = ("BTCUSDT", "BUY", 5)
    assert difference(taken({key: 0.5}), taken({key: 0.5 + 5e-7})) is None
    assert difference(taken(), taken()) is None


def test_another_signal_or_probability_is_a_difference() -> None:
    one, other = ("BTCUSDT", "BUY", 5), ("BTCUSDT", "SELL", 5)
    assert "signals differ" in str(difference(taken({one: 0.5}), taken({other: 0.5})))
    assert "probabilities differ" in str(difference(taken({one: 0.5}), taken({one: 0.50001})))


def test_a_sample_is_drawn_with_its_spans() -> None:
    sample = taken()
    sample.spans, sample.flights = [("fetch", 1.0, 5.0)], [(1.0, 4.0)]
    strip = sample.drawn("cold")
    assert (strip.title, strip.length, len(strip.requests)) == ("cold", 5.0, 1)
