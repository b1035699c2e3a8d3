"""Rebuild the shipped demo model, bit for bit: `python scripts/build_model.py [--check]`.

Trains on BUY signals of the default strategy over the simulated exchange's synthetic prices and
writes models/demo.ubj, demo.onnx and demo.json and docs/model.md. With --check nothing is written:
the files are built in a temporary folder and compared with those that are there (exit 1 if they differ).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from tradebot.analysis.strategies import make
from tradebot.clock import DAY, HOUR, format_time, parse_time
from tradebot.config import Settings
from tradebot.market.bars import Panel, interval_ms, panel
from tradebot.model.export import export
from tradebot.model.labels import Barrier
from tradebot.model.predictor import Card, load
from tradebot.model.training import PARAMETERS, Dataset, Trained, dataset, train
from tradebot.model.validation import Figures
from tradebot.sim.prices import Synthetic

ROOT = Path(__file__).resolve().parents[1]
FILES = ("models/demo.ubj", "models/demo.onnx", "models/demo.json", "docs/model.md")
WARM = 5 * DAY  # 96 bars of an hour, and a little


@dataclass(frozen=True)
class Plan:
    """What the demo model is made of; `days` from `start` on, in stretches that fit into memory."""

    seed: int = 1
    symbols: int = 40
    start: int = parse_time("2026-01-01")
    days: int = 240
    stretch: int = 30


def build(root: Path, plan: Plan) -> None:
    """Write `FILES` below `root`; the same bytes for the same plan."""
    for folder in ("models", "docs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    settings = Settings()
    barrier = Barrier(
        float(settings.trading.stop_loss), float(settings.trading.take_profit), settings.trading.max_hold_s * 1000,
        float(settings.paper.fee),
    )  # fmt: skip
    data = Dataset.join(list(stretches(plan, settings, barrier)))
    # A demo should trade, so that there is something to see: no signal like those it knows is refused.
    trained = train(data, settings.strategy.name, barrier, plan.seed, least_share=1.0)
    source, target, sidecar, document = (root / name for name in FILES)
    trained.booster.save_model(source)
    report = export(source, target)
    card = load(str(target)).card
    sidecar.write_text(describe(plan, trained, card, report.rows_checked), encoding="utf-8")
    document.write_text(explain(plan, trained, card, report.rows_checked), encoding="utf-8")


def stretches(plan: Plan, settings: Settings, barrier: Barrier) -> Iterator[Dataset]:
    """The signals of successive stretches of time, each computed with what comes before and after it."""
    prices = Synthetic(plan.seed, plan.symbols)
    strategy = make(settings.strategy.name, settings.strategy.parameters)
    end = plan.start + plan.days * DAY
    for first in range(plan.start, end, plan.stretch * DAY):
        last = min(first + plan.stretch * DAY, end)
        after = last + -(-barrier.horizon // HOUR) * HOUR
        panels = [history(prices, interval, first - WARM, after) for interval in settings.market.intervals]
        found = dataset(panels, strategy, settings.strategy.min_score, barrier)
        yield found.take((found.times >= first) & (found.times < last))


def history(prices: Synthetic, interval: str, start: int, end: int) -> Panel:
    """All bars that open in `[start, end)`."""
    step = interval_ms(interval)
    series = [(symbol, prices.klines(symbol, interval, start, end - 1, end)) for symbol in prices.instruments()]
    return panel(interval, end - step, (end - start) // step, series)


def describe(plan: Plan, trained: Trained, card: Card, rows_checked: int) -> str:
    """The card as JSON, for people and tools; the program reads the one inside the ONNX file."""
    told = {key: value for key, value in asdict(card).items() if key != "path"}
    made = {
        "plan": asdict(plan),
        "parameters": PARAMETERS,
        "rounds": trained.booster.num_boosted_rounds(),
        "rows_checked": rows_checked,
    }
    measured = {"signals": trained.signals, "validation": asdict(trained.validation), "test": asdict(trained.test)}
    return json.dumps({**told, **made, **measured}, indent=1, sort_keys=True) + "\n"


def explain(plan: Plan, trained: Trained, card: Card, rows_checked: int) -> str:
    """docs/model.md."""
    template = Template((Path(__file__).parent / "model.md.in").read_text(encoding="utf-8"))
    return template.substitute(
        asdict(plan), begin=format_time(plan.start), end=format_time(plan.start + plan.days * DAY),
        until=format_time(card.trained_to), label=card.label, strategy=card.strategy,
        min_score=Settings().strategy.min_score, threshold=f"{card.threshold:.4f}",
        train=f"{trained.signals[0]:,}", figures=table(trained), verdict=verdict(trained.test),
        parameters=", ".join(f"{key} {value}" for key, value in PARAMETERS.items()),
        rounds=trained.booster.num_boosted_rounds(),
        parity=f"{card.parity:.1e}", rows_checked=f"{rows_checked:,}", schema=card.schema,
    )  # fmt: skip


def table(trained: Trained) -> str:
    """Both parts' figures as a Markdown table."""

    def row(name: str, key: str, form: str) -> str:
        values = (getattr(part, key) for part in (trained.validation, trained.test))
        return f"| {name} | {' | '.join(format(value, form) for value in values)} |"

    return "\n".join(
        [
            "| | validation | test |",
            "| --- | ---: | ---: |",
            row("signals", "signals", ",d"),
            row("share that succeeded", "base_rate", ".3f"),
            row("log-loss", "log_loss", ".4f"),
            row("log-loss of always saying the base rate", "base_log_loss", ".4f"),
            row("Brier score", "brier", ".4f"),
            row("Brier score of the base rate", "base_brier", ".4f"),
            row("AUC (0.5: no better than chance)", "auc", ".3f"),
            row("share of signals at or above the threshold", "share", ".3f"),
            row("of these succeeded", "hit_rate", ".3f"),
            row("mean net return of a trade, taking these", "expectancy", "+.3%"),
            row("mean net return of a trade, taking every signal", "all_expectancy", "+.3%"),
        ]
    )


def verdict(test: Figures) -> str:
    """One honest sentence."""
    better = "better" if test.log_loss < test.base_log_loss else "no better"
    gain = "earned" if test.expectancy > 0 else "lost"
    return (
        f"On the part of the data that it has not seen, its probabilities are {better} than the base rate by\n"
        f"log-loss, and a trade at or above its threshold **{gain} {abs(test.expectancy):.3%} after fees** on average."
    )


def check(root: Path, plan: Plan) -> list[str]:
    """Names of the files below `root` that a new build does not give byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), plan)
        return [
            name
            for name in FILES
            if not (root / name).is_file() or (root / name).read_bytes() != (Path(folder) / name).read_bytes()
        ]


def main(arguments: list[str] | None = None, root: Path = ROOT, plan: Plan | None = None) -> int:
    """Build, or compare; the exit code."""
    parser = argparse.ArgumentParser(description="Rebuild the shipped demo model, bit for bit.")
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, write nothing")
    plan = plan or Plan()
    if not parser.parse_args(arguments).check:
        build(root, plan)
        return 0
    if different := check(root, plan):
        print(f"a new build differs from {', '.join(different)}; run python scripts/build_model.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
