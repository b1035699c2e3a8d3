"""`tradebot bench`: the serial loop that other bots run against the pipeline, on this machine.

Both are made of the same modules and trade on the same simulated venue, which runs in a process
of its own with a given latency and a clock that stands still while a cycle works. Each looks at
the same moments; their signals must be the same and their probabilities equal to 1e-6.
"""

from __future__ import annotations

from tradebot.bench.measure import Bench, measure
from tradebot.bench.rig import Workload

__all__ = ["Bench", "Workload", "measure"]
