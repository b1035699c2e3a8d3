"""The pipeline with each of its four ideas turned off alone: what that idea is worth here.

Every variant is the same loop with one thing changed, on the same venue at the same minutes, after its store
was filled and in each minute before a close it has run a cycle. What it decides must stay the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tradebot.analysis.pool import WorkerPool
from tradebot.bench.cycles import Sample, difference, run_pipelined
from tradebot.bench.rig import START, Bot, Venue, Workload, fill
from tradebot.clock import MINUTE
from tradebot.commands import make_pool
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import Regression
from tradebot.look import Look
from tradebot.loop import Cycle, Loop
from tradebot.market.store import KlineStore
from tradebot.model import predictor
from tradebot.pipeline import Pipeline, model_path, threshold_of
from tradebot.progress import Progress
from tradebot.registry import Registry
from tradebot.session import Session
from tradebot.trading.risk import Prediction

CLOSES = 2
"""5m closes at which every variant is measured."""


@dataclass(frozen=True)
class Idea:
    """One idea, and how a loop is made that lacks it. `connections` counts where requests go one by one."""

    text: str
    loop: type[Variant]
    connections: int | None = None


class Variant(Loop):
    """The whole pipeline; the others leave one idea out."""

    def __init__(self, bot: Bot, pool: WorkerPool) -> None:
        self.bot = bot
        super().__init__(self._pipeline(pool), bot.desk)

    def _pipeline(self, pool: WorkerPool) -> Pipeline:
        return Pipeline(self.bot.session, pool)


class OneByOne(Variant):
    """Stages one after another."""

    async def begin(self, number: int) -> Cycle:
        """Exits, then the look."""
        cycle = self._begun(number)
        await self._monitor(cycle)
        await self._look(cycle)
        return cycle


class FreshPool(Variant):
    """A pool made anew for each cycle, as all work goes through it."""

    async def begin(self, number: int) -> Cycle:
        """A cycle with a pool of its own."""
        kept = self.pipeline.pool
        with WorkerPool(kept.workers, "always", kept.preload) as pool:
            self.pipeline.pool = pool
            try:
                return await super().begin(number)
            finally:
                self.pipeline.pool = kept


class Forgetful(Variant):
    """A store that knows nothing at each cycle."""

    async def begin(self, number: int) -> Cycle:
        """A cycle that fetches everything."""
        with _forgotten(self.session):
            return await super().begin(number)


class OneSignalAtATime(Variant):
    """One XGBoost call a signal."""

    def _pipeline(self, pool: WorkerPool) -> Pipeline:
        return SingleCalls(self.bot.session, pool)


class SingleCalls(Pipeline):
    """A pipeline without the batch."""

    def __init__(self, *given: object) -> None:
        import xgboost

        super().__init__(*given)  # type: ignore[arg-type]
        path = model_path(self.settings)
        source, self.card = Path(path).with_suffix(".ubj"), predictor.load(path).card
        self.booster = xgboost.Booster(model_file=str(source))
        self.booster.set_param({"nthread": 1})

    async def predict(self, look: Look) -> Look:
        """The path that `predict_proba` takes, for each row."""
        with look.watch("predict"):
            look.threshold = threshold_of(self.settings, self.card)
            for signal in look.signals:
                chance = float(self.booster.inplace_predict(signal.row[None, :], validate_features=False)[0])
                look.predictions.append(Prediction(signal.symbol, signal.side, signal.bar_time, chance, signal.score))
        return look


IDEAS: Registry[Idea] = Registry("idea")
IDEAS.register("all four")(Idea("the pipeline as it runs", Variant))
IDEAS.register("asynchronous pipeline")(Idea("stages and requests one after another", OneByOne, 1))
IDEAS.register("persistent worker pool")(Idea("a pool made anew each cycle, all work through it", FreshPool))
IDEAS.register("incremental klines")(Idea("everything fetched again each cycle", Forgetful))
IDEAS.register("one batch on ONNX")(Idea("one XGBoost call a signal", OneSignalAtATime))


@asynccontextmanager
async def _variants(
    settings: Settings, folder: Path, venue: Venue, workload: Workload, pool: WorkerPool
) -> AsyncIterator[tuple[Bot, dict[str, Variant]]]:
    """A bot that goes ahead, so that the venue's own work is not what is measured, and the variants."""
    async with AsyncExitStack() as stack:
        ahead = await stack.enter_async_context(Bot.open(settings, folder / "ahead", venue, workload))
        made = {}
        for number, (name, idea) in enumerate(IDEAS.items()):
            bot = Bot.open(settings, folder / str(number), venue, workload, idea.connections)
            made[name] = idea.loop(await stack.enter_async_context(bot), pool)
        yield ahead, made


async def ablation(  # noqa: PLR0917
    settings: Settings, folder: Path, venue: Venue, workload: Workload, begin: int, progress: Progress
) -> list[Document]:
    """A row for each idea: medians of `CLOSES` 5m closes from the venue's minute `begin` on (a multiple of 5).

    Before them every variant has a minute of its own to fill its store: the venue's weight limit is for each minute.
    `Regression` if a variant decides otherwise than the whole.
    """
    found: dict[str, list[Sample]] = {name: [] for name in IDEAS}
    of = len(IDEAS) * (CLOSES + 1)
    with make_pool(settings) as pool:
        async with _variants(settings, folder, venue, workload, pool) as (ahead, made):
            for minute, bot in enumerate((ahead, *(loop.bot for loop in made.values())), begin - len(made) - 1):
                progress("ideas", minute - begin + len(made) + 1, of)
                await bot.advance(START + minute * MINUTE)
                await fill(bot.session)
            for close in range(CLOSES):
                minute = begin + 5 * close
                for loop in made.values():  # as in every minute: it leaves what is due and compares the account
                    await loop.bot.advance(START + (minute - 1) * MINUTE)
                    await run_pipelined(loop.bot, loop, minute - 1)
                await ahead.advance(START + minute * MINUTE)
                await fill(ahead.session)
                with _forgotten(ahead.session):
                    await fill(ahead.session)
                for done, (name, loop) in enumerate(made.items(), len(made) * (close + 1)):
                    progress("ideas", done, of)
                    await loop.bot.advance(START + minute * MINUTE)
                    found[name].append(await run_pipelined(loop.bot, loop, minute))
    return [_row(name, samples, found["all four"]) for name, samples in found.items()]


@contextmanager
def _forgotten(session: Session) -> Iterator[None]:
    """The session with a store that knows nothing."""
    kept = session.store
    with tempfile.TemporaryDirectory() as folder, KlineStore(Path(folder), session.venue) as store:
        session.store = store
        try:
            yield
        finally:
            session.store = kept


def _row(name: str, samples: Sequence[Sample], whole: Sequence[Sample]) -> Document:
    differs = next((text for a, b in zip(samples, whole, strict=True) if (text := difference(a, b))), None)
    if differs:
        raise Regression(f"without '{name}' the loop decides otherwise: {differs}")

    def median(pick: str, of: Sequence[Sample] = samples) -> float:
        return float(np.median([getattr(each, pick) if hasattr(each, pick) else each.stages[pick] for each in of]))

    total = median("total_ms")
    return {
        "without": name,
        "text": IDEAS[name].text,
        "total_ms": round(total, 1),
        "times": round(total / median("total_ms", whole), 2),
        "requests": median("requests"),
        "cpu_s": round(median("cpu_s"), 4),
        "fetch_ms": round(median("fetch"), 1),
        "predict_ms": round(median("predict"), 2),
        "idle": round(median("idle"), 3),
    }
