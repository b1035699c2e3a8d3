"""Bar close to order, step by step."""

from __future__ import annotations

from tradebot.latency import STEPS, figures, in_words, row, summary


def test_steps_are_counted_from_the_close_and_those_not_taken_are_null() -> None:
    found = row("BTCUSDT", 300_000, 1_000.0, {"available": 1_010.0, "received": 1_020.5, "prediction": 1_030.0})
    assert (found["symbol"], found["bar_time"]) == ("BTCUSDT", 300_000)
    assert [found[step] for step in STEPS] == [10.0, 20.5, None, 30.0, None, None, None]


def test_a_summary_has_median_95th_percentile_and_most_of_each_step() -> None:
    rows = [row("A", 0, 0.0, {"sent": float(ms)}) for ms in range(1, 101)] + [row("B", 0, 0.0, {})]
    found = summary(rows)
    assert found["sent"] == {"count": 100, "p50": 50.5, "p95": 95.05, "max": 100.0}
    assert found["intent"] == figures([]) == {"count": 0, "p50": None, "p95": None, "max": None}
    assert list(in_words(found)) == ["sent 50/100 ms"]
