"""What `tradebot train` does: klines of the past in, a model on the shelf and its document out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tradebot.analysis.plugins import Guarded
from tradebot.clock import SECOND, format_time
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document
from tradebot.errors import ConfigError, ModelError
from tradebot.market.bars import interval_ms
from tradebot.model.card import describe
from tradebot.model.dataset import Recipe, gather
from tradebot.model.export import export
from tradebot.model.labels import Barrier
from tradebot.model.page import page
from tradebot.model.prose import markdown
from tradebot.model.shelf import MODEL, Shelf
from tradebot.model.training import Trained
from tradebot.model.training import train as learn
from tradebot.model.validation import Walk
from tradebot.past import chosen, open_source, period, there
from tradebot.pipeline import fine_to_coarse, strategy_of
from tradebot.progress import Progress, unseen

BOOSTER = "model.ubj"


def train(
    settings: Settings,
    since: str | None = None,
    until: str | None = None,
    folder: Path | None = None,
    *,
    force: bool = False,
    progress: Progress = unseen,
) -> Document:
    """Train, write the model to the shelf, and make it the current one if nothing speaks against it or with `force`.

    `MarketError` where there are no klines for the period, `ModelError` where they hold too few
    signals or the model cannot be written.
    """
    target, plan = Shelf(settings.models), settings.training
    with target.desk() as desk:  # before the work: whoever cannot write need not wait for it
        recipe_of(settings, (), 0, 0)  # nor whoever has named a wrong strategy
        with open_source(settings, folder) as source:
            symbols = chosen(settings, source)
            begin, end = period(source, symbols, since, until)
            warnings = list(source.lacks(symbols, begin, end))
            symbols, skipped = there(source, symbols, settings.market.intervals[-1], begin, end)
            recipe = recipe_of(settings, symbols, begin, end)
            data, counts = gather(source.read, recipe, progress)
        walk = Walk(plan.folds, plan.test, plan.embargo_s * SECOND)
        trained = learn(data, recipe, walk, seed=plan.seed, shuffles=plan.shuffles, progress=progress)
        card = write(desk, trained, counts, source.name)
        place = target.put(desk, _name(card))
    current = force or not trained.doubts
    if current:
        target.point_to(place.name)
    return _document(place, card, current) | {"skipped": skipped, "warnings": warnings}


def recipe_of(settings: Settings, symbols: Sequence[str], since: int, until: int) -> Recipe:
    """The signals and trades of these settings in a period of the past. Raises `UsageError`s."""
    strategy, market = strategy_of(settings), settings.market
    if settings.trading.max_hold_s * SECOND < interval_ms(market.intervals[0]):
        raise ConfigError(
            f"trading.max_hold_s = {settings.trading.max_hold_s}: to learn what becomes of a trade it must last for "
            f"at least one bar of {market.intervals[0]}"
        )
    parameters = strategy.parameters if isinstance(strategy, Guarded) else asdict(strategy)
    return Recipe(
        tuple(symbols), fine_to_coarse(settings), since, until, settings.strategy.name, strategy, parameters,
        settings.strategy.min_score, Barrier.of(settings), market.max_filled, market.bars,
    )  # fmt: skip


def _name(card: Document) -> str:
    """`trend-20180124-1a2b3c4d`: the strategy, the last day learnt from, the digest."""
    strategy = re.sub(r"\W+", "_", card["strategy"]["name"])
    return f"{strategy}-{format_time(card['trained_to'])[:10].replace('-', '')}-{card['sha256'][:8]}"


def write(desk: Path, trained: Trained, counts: Mapping[str, int], source: str) -> Document:
    """The model's files into the folder `desk`; its card. `ModelError` if they cannot be written."""
    try:
        trained.booster.save_model(desk / BOOSTER)
        report = export(desk / BOOSTER, desk / MODEL)
        card = describe(trained, counts, source, report)
        texts = {
            "card.json": json.dumps(card, indent=1) + "\n",
            "card.md": markdown(card),
            "report.html": page(card),
        }
        for name, text in texts.items():
            (desk / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"models {desk.parent}: {error.strerror}; mend that, or use another --data-dir") from None
    return card


def _document(place: Path, card: Document, current: bool) -> Document:
    return {
        "schema": SCHEMA,
        "model": {"path": str(place / MODEL), "sha256": card["sha256"], "features": len(card["features"]),
                  "trained_to": card["trained_to"], "current": current},
        "report": str(place / "report.html"),
        "doubts": card["doubts"],
        "card": card,
    }  # fmt: skip
