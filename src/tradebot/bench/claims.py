"""The claims table: what was hoped for, what was measured, and whether it is so.

A claim is one entry of `CLAIMS`: a function of the measurements that returns what was expected,
what was measured, and whether the one meets the other. A target is one of `TARGETS`: a figure that was
promised for the workload of `--full`; with others it is measured only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tradebot.analysis.pool import WorkerPool
from tradebot.bench.cycles import Sample, by_kind, waits
from tradebot.clock import cpu_seconds, monotonic_ms
from tradebot.documents import Document
from tradebot.latency import summary
from tradebot.model import predictor
from tradebot.model.predictor import Rows
from tradebot.registry import Registry

if TYPE_CHECKING:
    from tradebot.bench.rig import Workload

SIGNALS = 200
MANY = 5_000
REPEATS = 7


@dataclass(frozen=True)
class Micro:
    """Median ms and CPU ms of predictions alone, on rows drawn from a seed."""

    single_ms: float
    single_cpu: float
    batch_ms: float
    batch_cpu: float
    many_xgboost_ms: float
    many_onnx_ms: float
    worker_loaded_ms: float
    worker_loading_ms: float


@dataclass(frozen=True)
class Measured:
    """All that claims can look at."""

    workload: Workload
    serial: Sequence[Sample]
    pipelined: Sequence[Sample]
    pool_ms: Sequence[float]
    micro: Micro

    def median(self, stage: str, *, serial: bool) -> float:
        """Median ms of a stage over the minutes at which both loops look; `total` for all of it."""
        samples = self.serial if serial else self.shared
        return float(np.median([each.total_ms if stage == "total" else each.stages[stage] for each in samples]))

    @property
    def shared(self) -> list[Sample]:
        """The pipeline's samples of the minutes at which the serial loop looked too."""
        return [each for each in self.pipelined if each.minute in self.workload.minutes]


Verdict: TypeAlias = tuple[str, str, bool]
CLAIMS: Registry[Callable[[Measured], Verdict]] = Registry("claim")


@dataclass(frozen=True)
class Target:
    """A figure that has to be reached with the workload of `--full`: at least (`most` is False) or at most `limit`."""

    limit: float
    unit: str
    figure: Callable[[Measured], float | None]
    most: bool = True

    def judged(self, m: Measured) -> tuple[str, str, bool | None]:
        """As a `Verdict`; None for a workload of which it was not said. A figure that there is not is not reached."""
        value = self.figure(m)
        met = value is not None and (value <= self.limit if self.most else value >= self.limit)
        told = "none" if value is None else f"{value:.{0 if value >= FINE else 2}f}{self.unit}"
        same = (m.workload.symbols, m.workload.latency_ms, m.workload.connections) == FULL
        return f"{'≤' if self.most else '≥'} {self.limit:g}{self.unit}", told, met if same else None


FULL = (200, 50.0, 50)
"""Symbols, latency (ms) and connections of `bench --full`."""

FINE = 20
"""Figures below this are told with two digits after the point."""


def _of(kind: str, pick: Callable[[Sample], float]) -> Callable[[Measured], float | None]:
    """Median over the pipeline's cycles of a kind."""

    def figure(m: Measured) -> float | None:
        values = [pick(each) for each in by_kind(m.pipelined)[kind]]
        return float(np.median(values)) if values else None

    return figure


def _times(kind: str) -> Callable[[Measured], float | None]:
    """How many times as long a serial cycle takes, by medians."""

    def figure(m: Measured) -> float | None:
        ours = _of(kind, lambda each: each.total_ms)(m)
        return ours and m.median("total", serial=True) / ours

    return figure


def _sent(percentile: str) -> Callable[[Measured], float | None]:
    """A percentile of bar close to order sent, s."""

    def figure(m: Measured) -> float | None:
        value = summary(waits(m.pipelined))["sent"][percentile]
        return None if value is None else float(value) / 1e3

    return figure


TARGETS: Registry[Target] = Registry("target")
TARGETS.register("the serial loop's time, cold")(Target(25, " times", _times("cold"), most=False))
TARGETS.register("the serial loop's time, at a 5m close")(Target(60, " times", _times("close"), most=False))
TARGETS.register("cold cycle")(Target(1.3, " s", _of("cold", lambda each: each.total_ms / 1e3)))
TARGETS.register("5m close cycle")(Target(0.5, " s", _of("close", lambda each: each.total_ms / 1e3)))
TARGETS.register("bar close to order sent, p50")(Target(0.4, " s", _sent("p50")))
TARGETS.register("bar close to order sent, p95")(Target(0.6, " s", _sent("p95")))
TARGETS.register("CPU of a 5m close")(Target(0.3, " s", _of("close", lambda each: each.cpu_s)))
TARGETS.register("CPU of a cycle in which nothing closed")(
    Target(60, " ms", _of("idle", lambda each: 1e3 * each.cpu_s))
)
TARGETS.register("idle share of a 5m close")(Target(10, "%", _of("close", lambda each: 100 * each.idle)))


def saved(old: float, new: float) -> float:
    """Share of `old` that is saved, in percent."""
    return 100 * (1 - new / old) if old else 0.0


@CLAIMS.register("end-to-end latency")
def latency(m: Measured) -> Verdict:
    """Median cycle over the minutes at which both loops look."""
    share = saved(m.median("total", serial=True), m.median("total", serial=False))
    return "-30…40%", f"-{share:.1f}%", share >= 30


@CLAIMS.register("idle share of a cold cycle")
def idle(m: Measured) -> Verdict:
    """(wall − the larger of network floor and CPU time) ÷ wall."""
    share = 100 * m.pipelined[0].idle
    return "≤ 10%", f"{share:.1f}%", share <= 10


@CLAIMS.register("pool start-up saved a cycle")
def pool(m: Measured) -> Verdict:
    """What making the pool costs the serial loop each cycle; the pipeline's is made once."""
    cost = float(np.median(m.pool_ms))
    return "0.8…1.2 s", f"{cost / 1e3:.2f} s", cost >= 800


@CLAIMS.register("worker prediction latency")
def worker(m: Measured) -> Verdict:
    """A batch in a worker that has loaded the model, against loading it in the task."""
    share = saved(m.micro.worker_loading_ms, m.micro.worker_loaded_ms)
    return "-50%", f"-{share:.1f}%", share >= 50


@CLAIMS.register("kline requests in an hour of cycles")
def requests(m: Measured) -> Verdict:
    """All requests of one hour after the cold cycle, against a full refetch each minute."""
    after = m.pipelined[1:]
    share = saved(len(after) * m.serial[0].requests, sum(each.requests for each in after))
    return "-60…80%", f"-{share:.1f}%", share >= 60


@CLAIMS.register("network time")
def network(m: Measured) -> Verdict:
    """The fetch stage, median over the minutes at which both loops look."""
    share = saved(m.median("fetch", serial=True), m.median("fetch", serial=False))
    return "-50%", f"-{share:.1f}%", share >= 50


@CLAIMS.register(f"ML time, {SIGNALS} signals")
def ml_time(m: Measured) -> Verdict:
    """One ONNX batch against one XGBoost call a signal."""
    ratio = m.micro.single_ms / m.micro.batch_ms
    return "3…5 times faster", f"{ratio:.0f} times ({m.micro.single_ms:.1f} → {m.micro.batch_ms:.2f} ms)", ratio >= 3


@CLAIMS.register(f"ML CPU, {SIGNALS} signals")
def ml_cpu(m: Measured) -> Verdict:
    """CPU time of the same."""
    share = saved(m.micro.single_cpu, m.micro.batch_cpu)
    return "-40%", f"-{share:.1f}%", share >= 40


@CLAIMS.register(f"ONNX against XGBoost's own batch, {MANY:,} rows")
def many(m: Measured) -> Verdict:
    """Where batches are large XGBoost's own is the faster one; shown as it is."""
    ratio = m.micro.many_xgboost_ms / m.micro.many_onnx_ms
    times = f"({m.micro.many_xgboost_ms:.1f} → {m.micro.many_onnx_ms:.1f} ms)"
    return "faster", f"{ratio:.2f} times {times}", ratio >= 1


def claims(
    workload: Workload, serial: Sequence[Sample], pipelined: Sequence[Sample], pool_ms: Sequence[float], figures: Micro
) -> list[Document]:
    """Every claim's row."""
    measured = Measured(workload, serial, pipelined, pool_ms, figures)
    rows: list[tuple[str, str, str, bool | None]] = [(name, *claim(measured)) for name, claim in CLAIMS.items()]
    rows += [(name, *target.judged(measured)) for name, target in TARGETS.items()]
    return [{"name": name, "expected": e, "measured": m, "met": met} for name, e, m, met in rows]


def _timed(work: Callable[[Rows], Any], batches: Sequence[Rows]) -> tuple[float, float]:
    """Median wall and CPU ms over the batches after the first one."""
    work(batches[0])
    walls, cpus = [], []
    for each in batches[1:]:
        wall, cpu = monotonic_ms(), cpu_seconds()
        work(each)
        walls.append(monotonic_ms() - wall)
        cpus.append(1e3 * (cpu_seconds() - cpu))
    return float(np.median(walls)), float(np.median(cpus))


async def micro() -> Micro:
    """Predictions alone: one call a signal, batches, and in a worker with and without the model."""
    import xgboost

    path = predictor.demo_path()
    booster = xgboost.Booster(model_file=str(path.with_suffix(".ubj")))
    booster.set_param({"nthread": 1})
    loaded = predictor.load(str(path))
    width = len(loaded.card.features)
    # No call sees rows again: the processor would have learned the way through the trees.
    many = [np.random.default_rng(seed).normal(0, 1, (MANY, width)).astype(np.float32) for seed in range(REPEATS + 1)]
    few = [batch[:SIGNALS] for batch in many]

    def theirs(batch: Rows) -> Rows:
        """The path that `predict_proba` takes."""
        found: Rows = booster.inplace_predict(batch, validate_features=False)
        return found

    single = _timed(lambda batch: [theirs(row[None, :]) for row in batch], few)
    batch = _timed(loaded.predict, few)
    own_batch = _timed(theirs, many)
    ours = _timed(loaded.predict, many)
    warm, fresh = await _in_worker(str(path), few[0])
    return Micro(*single, *batch, own_batch[0], ours[0], warm, fresh)


async def _in_worker(path: str, rows: Any) -> tuple[float, float]:
    """Median ms of one batch in a worker: with the model loaded beforehand, and loading it."""
    preload = (("tradebot.model.predictor", "load"), (path,))
    with WorkerPool(1, "always", preload) as pool:
        pool.start()
        times: list[list[float]] = [[], []]
        for _ in range(REPEATS):
            for kind, function in enumerate((predictor.predict_rows, predict_loading)):
                start = monotonic_ms()
                await pool.call(function, path, rows)
                times[kind].append(monotonic_ms() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


def predict_loading(path: str, rows: Any) -> Any:
    """What a worker does that has not loaded its model: load it for the task."""
    return predictor.Predictor(path, Path(path).read_bytes()).predict(rows)
