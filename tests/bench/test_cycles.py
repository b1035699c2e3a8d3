"""One measured cycle, and whether two decided the same."""

from __future__ import annotations

from tradebot.bench.cycles import Sample, difference
from tradebot.pipeline import STAGES


def taken(signals: dict[tuple[str, str, int], float] | None = None) -> Sample:
    return Sample(0, 10.0, dict.fromkeys(STAGES, 1.0), requests=2, cpu_s=0.5, signals=signals or {})


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
