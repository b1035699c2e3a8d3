"""How the cost of a cycle grows with the universe: the pipeline at its 5m closes, size by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tradebot.bench.cycles import Sample, run_pipelined
from tradebot.bench.rig import START, Bot, Workload, fill, served_venue
from tradebot.bench.scaling import scaling
from tradebot.clock import MINUTE
from tradebot.commands import make_pool
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import MarketError, VenueBusy
from tradebot.look import STAGES
from tradebot.loop import Loop
from tradebot.pipeline import Pipeline
from tradebot.progress import Progress

CLOSES = 3
PATIENCE = 30
"""Minutes of the venue's time in which the largest universe must have been fetched once."""


async def growth(
    settings: Settings, folder: Path, workload: Workload, sizes: Sequence[int], progress: Progress
) -> list[Document]:
    """Medians over `CLOSES` closes for each size, with the exponent of each figure; the workload's size included.

    A stage counts while it is at work: between its parts, while klines are in the air, it waits for the fetch.
    """
    every = sorted({workload.symbols, *sizes})
    found: dict[str, list[float]] = {name: [] for name in ("total", *STAGES, "CPU", "requests")}
    for done, symbols in enumerate(every):
        progress("growth", done, len(every))
        samples = await _closes(settings, folder / f"growth-{symbols}", replace(workload, symbols=symbols))
        figures: dict[str, list[float]] = {
            "total": [each.total_ms for each in samples],
            "CPU": [1000 * each.cpu_s for each in samples],
            "requests": [each.requests for each in samples],
            **{stage: [_at_work(each, stage) for each in samples] for stage in STAGES},
        }
        for name, values in figures.items():
            found[name].append(float(np.median(values)))
    return scaling(every, found)


def _at_work(sample: Sample, stage: str) -> float:
    return sum(end - start for name, start, end in sample.spans if name == stage)


async def _closes(settings: Settings, folder: Path, workload: Workload) -> list[Sample]:
    """The pipeline's cycles at a few 5m closes.

    A second bot goes ahead, so that the venue's own work is not what is measured; the venue's weight limit
    is for both, so each has minutes of its own.
    """
    async with (
        served_venue(workload, settings.sim.weight_limit) as venue,
        Bot.open(settings, folder / "ahead", venue, workload) as ahead,
        Bot.open(settings, folder / "bot", venue, workload) as bot,
    ):
        with make_pool(settings) as pool:
            loop = Loop(Pipeline(bot.session, pool), bot.desk)
            minute = await _filled(bot, await _filled(ahead, 0))
            samples = []
            for close in range(-(-minute // 5) * 5 + 5, minute + 5 * CLOSES + 10, 5)[:CLOSES]:
                await bot.advance(START + (close - 1) * MINUTE)
                await run_pipelined(bot, loop, close - 1)  # it leaves what is due and compares the account
                await ahead.advance(START + close * MINUTE)
                await fill(ahead.session)
                await bot.advance(START + (close + 1) * MINUTE)
                samples.append(await run_pipelined(bot, loop, close))
            return samples


async def _filled(bot: Bot, minute: int) -> int:
    """Fill the bot's store, over as many minutes as the venue's limit wants; the first minute after that."""
    for tried in range(minute, minute + PATIENCE):
        await bot.advance(START + tried * MINUTE)
        try:
            await fill(bot.session)
        except VenueBusy:
            continue
        return tried + 1
    raise MarketError(f"the venue's limit did not let {PATIENCE} minutes suffice to fetch all symbols once")
