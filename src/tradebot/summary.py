"""What a run came to: how long cycles and their stages took, what was missed, and bar close to order."""

from __future__ import annotations

from collections import Counter, deque

from tradebot import latency
from tradebot.cycle import Cycle
from tradebot.documents import SCHEMA, Document
from tradebot.look import STAGES

CYCLES = 10_000  # of which times are remembered: a week
SIGNALS = 10_000


class Summary:
    """Counts all cycles; figures are of the last ones."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(cycles=0, missed=0, failed=0, slow=0, orders=0)
        self._times: deque[dict[str, float]] = deque(maxlen=CYCLES)
        self._latencies: deque[Document] = deque(maxlen=SIGNALS)

    def add(self, cycle: Cycle) -> None:
        """Take in a cycle that has ended."""
        self.counts.update(
            cycles=1, missed=cycle.missed, failed=cycle.error is not None, slow=bool(cycle.slow),
            orders=len(cycle.outcomes),
        )  # fmt: skip
        self._times.append({**cycle.watch.stages, "total": cycle.watch.total_ms})
        self._latencies.extend(cycle.latency)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"{counts}; after the close (median/most): {', '.join(latency.in_words(self.document()['latency']))}"

    def document(self) -> Document:
        """Times in real ms; those of bar close to order after the close."""
        return {
            "schema": SCHEMA,
            **self.counts,
            "times": {each: latency.figures([row[each] for row in self._times]) for each in (*STAGES, "total")},
            "latency": latency.summary(list(self._latencies)),
        }
