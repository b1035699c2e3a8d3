"""The whole bench: both loops on one venue, what each idea is worth, how the cost grows, and the document of it."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tradebot import __version__, latency
from tradebot.analysis.pool import WorkerPool
from tradebot.bench.ablation import ablation
from tradebot.bench.claims import claims, micro
from tradebot.bench.cycles import Sample, by_kind, difference, run_pipelined, run_serial, waits
from tradebot.bench.growth import growth
from tradebot.bench.opens import opens
from tradebot.bench.rig import START, WEIGHT_LIMIT, Bot, Venue, Workload, fill, prewarm, served_venue
from tradebot.bench.serial import Serial
from tradebot.bench.timeline import Strip
from tradebot.clock import MINUTE, monotonic_ms
from tradebot.commands import make_pool
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document
from tradebot.errors import Regression
from tradebot.loop import Cycle, Loop
from tradebot.model import predictor
from tradebot.pipeline import Pipeline, model_path, threshold_of
from tradebot.progress import Progress, unseen
from tradebot.trace import Trace

HOUR_OF_CYCLES = 60
LOOKERS = 4  # in one minute both loops and what warms their pages look: each would have an address of its own


@dataclass(eq=False)
class Bench:
    """What a bench has found: its document, and some cycles as strips of a picture."""

    document: Document
    strips: list[Strip] = field(default_factory=list)


async def measure(
    settings: Settings,
    workload: Workload,
    sizes: Sequence[int] = (),
    progress: Progress = unseen,
    profile: Path | None = None,
) -> Bench:
    """The whole bench of a workload, and the pipeline's growth over further `sizes` of the universe.

    With `profile` that file shows where the time of the pipeline's cycles went (see `trace`). `Regression`
    if serial and pipelined loop, or the loop with an idea turned off, decide differently.
    """
    start = monotonic_ms()
    with tempfile.TemporaryDirectory(prefix="tradebot-bench-") as name:
        folder = Path(name)
        async with served_venue(workload, LOOKERS * WEIGHT_LIMIT) as venue:
            serial, pipelined, pool_ms = await _both(settings, folder, venue, workload, progress, profile)
            ideas = await ablation(settings, folder / "ideas", venue, workload, HOUR_OF_CYCLES + 15, progress)
        kept = await opens(settings, folder / "opens", workload, progress)
        grown = await growth(settings, folder, workload, sizes, progress) if sizes else []
    found = [text for a in serial for b in pipelined if a.minute == b.minute and (text := difference(a, b))]
    if found:
        raise Regression(f"serial and pipelined disagree: {found[0]}")
    rows = claims(workload, serial, pipelined, pool_ms, await micro())
    document = _document(workload, serial, pipelined, monotonic_ms() - start)
    document |= {"claims": rows, "ideas": ideas, "open_klines": kept, "scaling": grown, "regressions": []}
    return Bench(document, _strips(serial, pipelined))


async def _both(  # noqa: PLR0917
    settings: Settings, folder: Path, venue: Venue, workload: Workload, progress: Progress, profile: Path | None
) -> tuple[list[Sample], list[Sample], list[float]]:
    """Every minute of the hour for the pipeline, those of the workload for the serial loop too."""
    async with (
        Bot.open(settings, folder / "serial", venue, workload) as one,
        Bot.open(settings, folder / "pipelined", venue, workload) as two,
    ):
        with make_pool(settings) as pool, ExitStack() as stack:
            traced = stack.enter_context(Trace(profile, two.session.feed)).add if profile else _untraced
            return await _hour(workload, one, two, pool, progress, traced)


def _untraced(_: Cycle) -> None:
    """Where cycles go of which nobody wants a profile."""


async def _hour(  # noqa: PLR0917
    workload: Workload, one: Bot, two: Bot, pool: WorkerPool, progress: Progress, traced: Callable[[Cycle], None]
) -> tuple[list[Sample], list[Sample], list[float]]:
    pipeline = Pipeline(two.session, pool)
    loop = Loop(pipeline, two.desk)
    model = Path(model_path(two.session.settings))
    threshold = threshold_of(two.session.settings, predictor.load(str(model)).card)
    old = Serial(one.session, one.desk, model.with_suffix(".ubj"), threshold)
    serial, pipelined = [], []
    await prewarm(one.session)
    for minute in range(HOUR_OF_CYCLES + 1):
        progress("bench", minute, HOUR_OF_CYCLES)
        await one.advance(START + minute * MINUTE)
        if minute and minute % 5 == 0:
            await fill(one.session)  # at every close the venue makes its pages before they are measured
        if minute in workload.minutes:
            serial.append(await run_serial(one, old, minute))
        await two.advance(START + minute * MINUTE)  # only now: for it the bar closes at this moment
        if not minute:
            await loop.ready()
        pipelined.append(await run_pipelined(two, loop, minute, traced))
    return serial, pipelined, old.pool_ms


def _strips(serial: Sequence[Sample], pipelined: Sequence[Sample]) -> list[Strip]:
    """The cold cycle of both loops, and the pipeline's at its first 5m close."""
    return [
        serial[0].drawn("serial cycle"),
        pipelined[0].drawn("pipelined cycle, nothing stored"),
        pipelined[5].drawn("pipelined cycle, at a 5m close"),
    ]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50": round(float(np.percentile(values, 50)), 3), "p95": round(float(np.percentile(values, 95)), 3)}


def summary(samples: Sequence[Sample]) -> Document:
    """Figures of several cycles: medians, requests and CPU seconds a cycle."""
    return {
        "total_ms": percentiles([each.total_ms for each in samples]),
        "stages": {stage: float(np.median([each.stages[stage] for each in samples])) for stage in samples[0].stages},
        "requests": sum(each.requests for each in samples) / len(samples),
        "cpu_s": round(float(np.mean([each.cpu_s for each in samples])), 4),
    }


def environment() -> Document:
    """What the figures were measured on."""
    return {
        "tradebot": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _document(workload: Workload, serial: list[Sample], pipelined: list[Sample], elapsed_ms: float) -> Document:
    same = [each for each in pipelined if each.minute in workload.minutes]
    old, new = summary(serial), summary(same)
    return {
        "schema": SCHEMA,
        "environment": environment(),
        "workload": {
            **asdict(workload),
            "pipelined_cycles": len(pipelined),
            "model": predictor.demo_path().name,
            "elapsed_ms": round(elapsed_ms),
        },
        "serial": old,
        "pipelined": new,
        "kinds": kinds(serial, pipelined),
        "speedup": round(old["total_ms"]["p50"] / new["total_ms"]["p50"], 2),
        "latency": latency.summary(waits(pipelined)),
    }


def kinds(serial: Sequence[Sample], pipelined: Sequence[Sample]) -> Document:
    """Median cycle of each kind: cold, at a 5m close, and when nothing has closed; CPU s and requests of ours."""
    of_kind = by_kind(pipelined)
    full = float(np.median([each.total_ms for each in serial]))
    return {
        kind: {
            "serial_ms": round(full, 3),
            "pipelined_ms": round(float(np.median([each.total_ms for each in samples])), 3),
            "requests": float(np.median([each.requests for each in samples])),
            "cpu_s": round(float(np.median([each.cpu_s for each in samples])), 4),
            "floor_ms": round(float(np.median([each.floor_ms for each in samples])), 3),
            "idle": round(float(np.median([each.idle for each in samples])), 4),
        }
        for kind, samples in of_kind.items()
        if samples
    }
