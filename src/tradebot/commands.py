"""What each command does: settings in, document out. Nothing here prints or parses a command line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import IO

from tradebot import sim, tables
from tradebot.analysis import explain as explanation
from tradebot.analysis import plugins
from tradebot.analysis.analyze import Analysis
from tradebot.analysis.pool import WorkerPool
from tradebot.clock import wall_ms
from tradebot.config import Settings
from tradebot.documents import (
    SCHEMA,
    Document,
    analysis_table,
    explanation_document,
    prediction_rows,
    signal_document,
    skipped_document,
)
from tradebot.errors import MarketError
from tradebot.identity import exchange_file
from tradebot.look import Look
from tradebot.loop import Emit
from tradebot.model import predictor
from tradebot.model.batch import in_batch, rows_of, times_of
from tradebot.pipeline import Pipeline, model_path, strategy_of
from tradebot.progress import Progress, unseen
from tradebot.session import Session, open_session

log = logging.getLogger(__name__)


def make_pool(settings: Settings) -> WorkerPool:
    """The worker pool of the settings, with the model loaded in each worker; started when it is needed."""
    path = str(predictor.resolve(settings.model.path, settings.models))
    return WorkerPool(settings.pool.workers, settings.pool.use, (("tradebot.model.predictor", "load"), (path,)))


@asynccontextmanager
async def _pipeline(settings: Settings, progress: Progress = unseen) -> AsyncIterator[Pipeline]:
    strategy_of(settings)  # a wrong name is told before the venue is asked
    with make_pool(settings) as pool:
        async with open_session(settings) as session:
            yield Pipeline(session, pool, progress=progress)


def _head(session: Session, look: Look) -> Document:
    return {"schema": SCHEMA, "venue": session.venue, "now": look.now}


async def analyze(settings: Settings, output: Path | None = None, progress: Progress = unseen) -> Document:
    """Signals of the newest closed bars; with `output`, score and features of every symbol go to that file."""
    if output is not None:
        tables.kind_of(output)  # told before anything is fetched
    async with _pipeline(settings, progress) as pipeline:
        look = await pipeline.look()
        if output is not None:
            tables.write(output, analysis_table(_known(look)))
        return _head(pipeline.session, look) | {
            "strategy": settings.strategy.name,
            "signals": [signal_document(signal, _known(look).features.names) for signal in look.signals],
            "skipped": skipped_document(look.skipped),
        }


async def explain(settings: Settings, symbol: str, progress: Progress = unseen) -> Document:
    """Why one symbol has a signal or none, with its features' places in the universe."""
    async with _pipeline(settings, progress) as pipeline:
        look = await pipeline.look()
        name = symbol.upper()
        if name in look.skipped and name not in _known(look).features.symbols:
            raise MarketError(f"{name} is not analyzed: {look.skipped[name]}")
        told = explanation.explain(_known(look), name, settings.strategy.min_score)
        return _head(pipeline.session, look) | {"strategy": settings.strategy.name} | explanation_document(told)


def _known(look: Look) -> Analysis:
    assert look.analysis is not None  # a look without one raises
    return look.analysis


def _model_document(card: predictor.Card) -> Document:
    return {
        "path": card.path, "sha256": card.sha256, "features": len(card.features), "trained_to": card.trained_to
    }  # fmt: skip


async def predict(settings: Settings, progress: Progress = unseen) -> Document:
    """Probabilities of the newest signals, in one batch."""
    path = model_path(settings)
    async with _pipeline(settings, progress) as pipeline:
        look = await pipeline.predict(await pipeline.look())
        return _head(pipeline.session, look) | {
            "model": _model_document(predictor.load(path).card),
            "predictions": [prediction.document() for prediction in look.predictions],
            "skipped": skipped_document(look.skipped),
            "warnings": [*look.warnings, *await pipeline.stored()],
        }


async def predict_table(settings: Settings, source: str, file: IO[bytes] | None, output: Path | None) -> Document:
    """Predictions for a table of features: the file `source`, or the CSV text in `file` that is called so.

    Columns are found by name; `symbol`, `side`, `bar_time` and `score` come through where they are there. With
    `output` the table is written there with one more column, `probability` (or `value`). A model's age
    counts up to the newest `bar_time`, or to now where there is none.
    """
    card = predictor.load(str(predictor.resolve(settings.model.path, settings.models))).card
    predictor.check_schema(card, card.intervals)
    predictions: list[Document] = []
    newest: int | None = None
    with make_pool(settings) as pool, tables.written(output) if output else nullcontext() as put:
        for table in tables.read(Path(source)) if file is None else tables.read_csv(file, source):
            first = len(predictions) + 1
            rows, times = rows_of(source, table, card.features, first), times_of(source, table, "bar_time")
            found = (await in_batch(pool, card.path, rows)).astype(float).tolist()
            if put is not None:
                put({**table, card.output: found})
            predictions += prediction_rows({**table, "bar_time": times}, card.output, found, first)
            newest = max((time for time in (newest, *times) if time is not None), default=None)
            await asyncio.sleep(0)  # a signal may want to be heard
        stale = predictor.check_age(card, newest or wall_ms(), settings.model.max_age_days)
    return {
        "schema": SCHEMA,
        "source": source,
        "model": _model_document(card),
        "predictions": predictions,
        "skipped": [],
        "warnings": [stale] if stale else [],
    }


def export_onnx(source: Path, target: Path | None, success: int | None = None) -> Document:
    """Convert an XGBoost model file and check the two against each other; `success` is the class that counts."""
    from tradebot.model.export import export

    report = export(source, target or source.parent / f"{source.stem}.onnx", success=success)
    return {
        "schema": SCHEMA,
        "source": str(report.source),
        "onnx": str(report.onnx),
        "features": report.features,
        "rows_checked": report.rows_checked,
        "max_abs_diff": report.max_abs_diff,
        "sha256": report.sha256,
        "notes": list(report.notes),
    }


def strategies(settings: Settings) -> Document:
    """All strategies that can be named, those of the user included."""
    return {"schema": SCHEMA, "strategies": plugins.described(settings.strategy.folder)}


def served_state(settings: Settings, port: int) -> Path | None:
    """File of accounts and orders of a served exchange, by its prices and port; none for port 0, which is any."""
    return exchange_file(settings, "venue", f"{sim.account(settings)}-{port}") if port else None


def serve(settings: Settings, host: str, port: int, emit: Emit, faults: Sequence[str] = ()) -> int:
    """Serve the simulated exchange until a signal ends it, whose number is returned.

    `emit` gets its address as soon as it listens. `faults` are added to those of `sim.faults`; from
    loopback they may also be set while it runs.
    """
    from tradebot.sim.accounts import last_seen
    from tradebot.sim.app import create_app
    from tradebot.sim.fault_plan import Plan
    from tradebot.sim.server import serve as listen
    from tradebot.sim.sockets import Door

    state = served_state(settings, port)
    clock = sim.sim_clock(settings, last_seen(state))
    loopback = host in ("127.0.0.1", "::1", "localhost")
    plan = sim.open_plan(settings, faults) or Plan()
    exchange = sim.open_exchange(settings, clock, state, plan)
    exchange.prices.expect(clock.now())  # or the first to ask for all symbols would wait for it

    def ready(url: str) -> None:
        emit(
            {
                "schema": SCHEMA,
                "url": url,
                "symbols": len(exchange.prices.instruments()),
                "clock": settings.sim.clock,
                "now": clock.now(),
                "state": str(state) if state else None,
                "faults": len(plan.faults),
                "loopback": loopback,
            }
        )

    if not loopback:
        log.warning("%s is not loopback: anybody who reaches this address can trade here", host)
    app = create_app(exchange, latency_ms=settings.sim.latency_ms, weight_limit=settings.sim.weight_limit)
    try:
        ended_by = listen(app, host, port, ready, Door(plan, clock))
        exchange.pause()
        return ended_by
    finally:
        exchange.close()
