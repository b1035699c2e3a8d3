"""A day of cycles without a leak: `python scripts/soak_run.py [--cycles 1440] [--symbols 30]`.

The venue is `tradebot sim serve` in a process of its own with a stepped clock; the bot trades there with
its worker pool on, moves that clock on itself, and makes one cycle a minute of the venue's time. After
`--from` cycles, the memory of all of its processes (resident, the worker processes included) may grow
by less than 5%, its open files and tasks not at all; every minute that was missed must be told of in a
document. Anything else ends it with 6.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_market import venue

from tradebot.clock import MINUTE, cpu_seconds, monotonic_ms
from tradebot.config import load
from tradebot.errors import Regression, TradebotError
from tradebot.holding import run

GROWTH = 1.05
EVERY = 5  # cycles from one look at the processes to the next
NOT_OURS = re.compile(r"sim serve|^ps ")
FEW = 10  # looks of which the median is compared


@dataclass(frozen=True)
class Look:
    """What the bot holds after a cycle: MiB of all its processes, open files and tasks of its own."""

    cycle: int
    mib: float
    files: int
    tasks: int


def resident_mib() -> float:
    """Of this process and all below it, its fork server's workers included; but for the venue and `ps` itself."""
    command = ["ps", "-A", "-o", "pid=,ppid=,rss=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(maxsplit=3) for line in listed]
    rows = [(int(pid), int(parent), int(rss)) for pid, parent, rss, told in found if not NOT_OURS.search(told)]
    ours, size = {os.getpid()}, 0
    while len(ours) > size:
        size = len(ours)
        ours |= {pid for pid, parent, _ in rows if parent in ours}
    return sum(rss for pid, _, rss in rows if pid in ours) / 1024


def looked(cycle: int) -> Look:
    """A look at ourselves, now."""
    return Look(cycle, resident_mib(), len(list(Path("/dev/fd").iterdir())), len(asyncio.all_tasks()))


class Soak:
    """Takes the documents of a run and judges them."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.looks: list[Look] = []
        self.missed = self.told = self.orders = 0
        self.expected = 0

    def take(self, document: dict[str, Any]) -> None:
        """One cycle's document."""
        begun = document["started"]
        gap = (begun - self.expected) // MINUTE if self.expected else 0
        self.expected = begun // MINUTE * MINUTE + MINUTE
        self.missed += gap
        self.told += document["missed"]
        self.orders += len(document["orders"])
        if document["cycle"] >= self.start and document["cycle"] % EVERY == 0:
            self.looks.append(looked(document["cycle"]))

    def judged(self) -> dict[str, Any]:
        """The figures; `Regression` for a leak or a minute that nobody was told of."""
        if len(self.looks) < 2 * FEW:
            raise Regression(f"{len(self.looks)} looks are too few to judge; run more cycles")
        first, last = self.looks[:FEW], self.looks[-FEW:]
        before, after = ({name: float(np.median([asdict(look)[name] for look in looks]))
                          for name in ("mib", "files", "tasks")} for looks in (first, last))  # fmt: skip
        figures = {"before": before, "after": after, "missed": self.missed, "told": self.told, "orders": self.orders}
        if after["mib"] >= before["mib"] * GROWTH:
            raise Regression(f"memory grows: {figures}")
        if after["files"] > before["files"] or after["tasks"] > before["tasks"]:
            raise Regression(f"files or tasks grow: {figures}")
        if self.missed != self.told:
            raise Regression(f"{self.missed} minutes missed, {self.told} told: {figures}")
        return figures


async def soak(cycles: int, symbols: int, start: int) -> dict[str, Any]:
    """The run and its figures."""
    with tempfile.TemporaryDirectory(prefix="tradebot-soak-") as folder, venue(symbols) as served:
        keys = {
            "data_dir": folder, "venue.name": "binance", "venue.base_url": served.url, "universe.top": symbols,
            "run.step": True, "pool.use": "always", "model.threshold": 0.0, "trading.max_hold_s": 1800,
        }  # fmt: skip
        settings = load(None, {key: ("soak", value) for key, value in keys.items()}, {})
        found, begun, cpu = Soak(start), monotonic_ms(), cpu_seconds()
        await run(settings, cycles, found.take)
        took = {"seconds": round((monotonic_ms() - begun) / 1000, 1), "cpu_s": round(cpu_seconds() - cpu, 1)}
        return {"cycles": cycles, "symbols": symbols, **took, **found.judged()}


def main() -> None:
    """Run it; exit code 6 for a leak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cycles", type=int, default=1440)
    parser.add_argument("--symbols", type=int, default=30)
    parser.add_argument("--from", type=int, default=100, dest="start")
    options = parser.parse_args()
    try:
        print(json.dumps(asyncio.run(soak(options.cycles, options.symbols, options.start))))
    except TradebotError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
