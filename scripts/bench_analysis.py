"""How fast features and predictions are: `python scripts/bench_analysis.py [--short] [--json]`.

Random walks of hundreds of symbols on three intervals, and the demo model on rows drawn from a seed. It
prints the workload with every figure (the least of several runs, in one process on one core) and passes no
judgement on time.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tradebot.analysis import features
from tradebot.clock import cpu_seconds, monotonic_ms
from tradebot.market.bars import Panel
from tradebot.model import predictor
from tradebot.model.predictor import Rows

ROOT = Path(__file__).resolve().parents[1]
INTERVALS = ("5m", "15m", "1h")
PER_SERIES_MS = 10.0
"""What freqtrade 2026.9 needs with its sample strategy for a pair and interval, measured on a like machine."""


@dataclass(frozen=True)
class Figure:
    """One measurement: wall and CPU ms, and what it is compared with in words."""

    name: str
    workload: str
    wall_ms: float
    cpu_ms: float
    beside: str = ""

    def line(self) -> str:
        """For people."""
        return f"{self.name:<28}{self.wall_ms:>10.3f} ms  (CPU {self.cpu_ms:9.3f})  {self.workload}  {self.beside}"


def least(work: Callable[[], object], times: int) -> tuple[float, float]:
    """The least wall and CPU milliseconds of several runs after a first one."""
    work()
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = monotonic_ms(), cpu_seconds()
        work()
        walls.append(monotonic_ms() - wall)
        cpus.append(1000 * (cpu_seconds() - cpu))
    return min(walls), min(cpus)


def panels(symbols: int, bars: int) -> list[Panel]:
    """Random walks on each interval."""
    noise = np.random.default_rng(0)
    made = []
    for interval in INTERVALS:
        close = 100 * np.exp(noise.normal(0, 0.003, (symbols, bars)).cumsum(axis=1))
        opened = np.roll(close, 1, axis=1)
        high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
        data = np.stack([opened, high, low, close, noise.gamma(2, 10, (symbols, bars))])
        names = tuple(f"S{number:04d}" for number in range(symbols))
        made.append(Panel(interval, 1_780_000_200_000, names, data, np.zeros((symbols, bars), bool)))
    return made


def of_features(symbols: int, bars: int, times: int) -> Figure:
    """All 31 features at the last bar of every symbol."""
    made = panels(symbols, bars)
    wall, cpu = least(lambda: features.assemble([features.latest(each) for each in made]), times)
    ratio = PER_SERIES_MS * symbols * len(INTERVALS) / wall
    beside = f"{ratio:,.0f} times faster than {PER_SERIES_MS:g} ms a series"
    return Figure("31 features, last bar", f"{symbols} symbols × 3 intervals × {bars} bars", wall, cpu, beside)


class Stream:
    """Rows that no call has seen before: a tree that is asked the same again is guessed right by the processor."""

    def __init__(self, count: int, calls: int) -> None:
        self.rows = np.random.default_rng(0).normal(0, 1, (count * (calls + 1), 31)).astype(np.float32)
        self.count, self.place = count, 0

    def next(self) -> Rows:
        """The next `count` rows; from the beginning again after the last."""
        start = self.place * self.count % (len(self.rows) - self.count + 1)
        self.place += 1
        return self.rows[start : start + self.count]


def of_predictions(counts: tuple[int, ...], times: int) -> list[Figure]:
    """ONNX beside XGBoost's own batch, and one `predict_proba` a signal."""
    import xgboost

    path = predictor.demo_path()
    ours, theirs = predictor.load(str(path)), xgboost.XGBClassifier(n_jobs=1)
    theirs.load_model(path.with_suffix(".ubj"))
    found = []
    for count in counts:
        runs = times if count <= 5_000 else 2
        fresh = Stream(count, runs)
        mine = least(lambda fresh=fresh: ours.predict(fresh.next()), runs)  # type: ignore[misc]
        own = least(lambda fresh=fresh: theirs.predict_proba(fresh.next()), runs)  # type: ignore[misc]
        faster = "ONNX" if mine[0] <= own[0] else "XGBoost"
        found += [
            Figure("one ONNX batch", f"{count:,} rows", *mine),
            Figure(
                "one XGBoost batch", f"{count:,} rows", *own, f"{own[0] / mine[0]:.2f} times ONNX; faster: {faster}"
            ),
        ]
        if count == 200:
            single = least(
                lambda fresh=fresh: [theirs.predict_proba(row[None]) for row in fresh.next()],
                3,  # type: ignore[misc]
            )
            beside = f"one ONNX batch is {single[0] / mine[0]:.0f} times faster"
            found.append(Figure("one predict_proba a signal", f"{count:,} signals", *single, beside))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer runs and rows, for CI")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    times = 3 if options.short else 15
    workloads = [(200, 100), (200, 200), *([] if options.short else [(2_000, 200)])]
    counts = (1, 50, 200, 5_000) if options.short else (1, 50, 200, 5_000, 200_000)
    found = [*(of_features(*workload, times) for workload in workloads), *of_predictions(counts, times)]
    if options.json:
        json.dump({"python": platform.python_version(), "figures": [asdict(each) for each in found]}, sys.stdout)
        return
    print(f"Python {platform.python_version()}, {predictor.demo_path().name}; least of {times} runs")
    for figure in found:
        print(figure.line())


if __name__ == "__main__":
    main()
