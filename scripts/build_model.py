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
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tradebot.clock import DAY, SECOND, parse_time
from tradebot.config import Settings
from tradebot.model.card import describe
from tradebot.model.dataset import gather
from tradebot.model.export import export
from tradebot.model.metrics import lowest
from tradebot.model.prose import markdown
from tradebot.model.training import train
from tradebot.model.validation import Walk
from tradebot.past import Played
from tradebot.sim.prices import Synthetic
from tradebot.train import recipe_of

ROOT = Path(__file__).resolve().parents[1]
FILES = ("models/demo.ubj", "models/demo.onnx", "models/demo.json", "docs/model.md")


@dataclass(frozen=True)
class Plan:
    """What the demo model is made of: `days` from `start` on, judged on `folds` and a test part."""

    seed: int = 1
    symbols: int = 40
    start: int = parse_time("2026-01-01")
    days: int = 120
    folds: int = 3
    shuffles: int = 1


def build(root: Path, plan: Plan) -> None:
    """Write `FILES` below `root`; the same bytes for the same plan."""
    for folder in ("models", "docs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    settings, prices, end = Settings(), Synthetic(plan.seed, plan.symbols), plan.start + plan.days * DAY
    source = Played(prices, f"synthetic prices of seed {plan.seed}", settings.market.intervals[0], end)
    recipe = recipe_of(settings, source.symbols(), plan.start, end)
    data, counts = gather(source.read, recipe)
    walk = Walk(plan.folds, settings.training.test, settings.training.embargo_s * SECOND)
    # A demo should trade, so that there is something to see: no signal like those it knows is refused.
    trained = train(data, recipe, walk, seed=plan.seed, shuffles=plan.shuffles, choose=lowest)
    source, target, card_file, document = (root / name for name in FILES)
    trained.booster.save_model(source)
    report = export(source, target)
    card = describe(trained, counts, source.name, report)
    card_file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    template = Template((Path(__file__).parent / "model.md.in").read_text(encoding="utf-8"))
    document.write_text(template.substitute(card=markdown(card).partition("\n")[2].strip()) + "\n", encoding="utf-8")


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
