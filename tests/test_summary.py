"""What a run came to."""

from __future__ import annotations

from tradebot.cycle import Cycle
from tradebot.errors import MarketError
from tradebot.latency import row
from tradebot.look import Watch
from tradebot.summary import Summary


def cycle(number: int) -> Cycle:
    watch = Watch()
    with watch("fetch"):
        pass
    return Cycle(number, 0, watch, 0, 0)


def test_cycles_are_counted_with_what_was_missed_failed_or_slow() -> None:
    summary, one, two = Summary(), cycle(1), cycle(2)
    two.missed, two.slow, two.error = 3, ["fetch took long"], MarketError("down")
    for each in (one, two):
        summary.add(each)
    document = summary.document()
    assert {name: document[name] for name in ("cycles", "missed", "failed", "slow", "orders")} == {
        "cycles": 2, "missed": 3, "failed": 1, "slow": 1, "orders": 0,
    }  # fmt: skip
    assert document["times"]["fetch"]["count"] == 2
    assert document["times"]["total"]["max"] > 0


def test_the_way_from_bar_close_to_order_is_summed_up_over_cycles() -> None:
    summary, one = Summary(), cycle(1)
    one.latency = [row("A", 0, 0.0, {"sent": 100.0}), row("B", 0, 0.0, {"sent": 300.0})]
    summary.add(one)
    assert summary.document()["latency"]["sent"] == {"count": 2, "p50": 200.0, "p95": 290.0, "max": 300.0}
    assert "sent 200/300 ms" in str(summary)
