"""From a dataset to a booster that knows what it is worth.

Everything here is a pure function of arrays, and deterministic for one seed. Every figure is of
rows that come after all rows that its booster has learnt from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tradebot.analysis import features
from tradebot.clock import DAY
from tradebot.errors import ModelError
from tradebot.model.dataset import Dataset, Recipe
from tradebot.model.export import Told
from tradebot.model.metrics import Choice, Figures, Judged, Trades, auc, choose_threshold, figures, gain, table, trades
from tradebot.model.predictor import KEY, Rows
from tradebot.model.validation import Margin, Part, Walk, known, margin, parts
from tradebot.progress import Progress, unseen

T = TypeVar("T")

# Few, small, slow trees: a signal's outcome is mostly noise, and neighbouring signals share theirs.
# One thread, so that sums have one order.
PARAMETERS: dict[str, Any] = {
    "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "max_depth": 4, "eta": 0.015,
    "subsample": 0.5, "colsample_bytree": 0.5, "lambda": 5.0, "nthread": 1,
}  # fmt: skip
ROUNDS = 600
PATIENCE = 40
LEAVES = 300  # at least this part of the signals in a leaf, counted by XGBoost's weights of up to a quarter
LEAST = 30  # signals in each set that is fitted, watched or judged


@dataclass(frozen=True)
class Fold:
    """One part of the walk: its time, how many signals were fitted, watched and judged, rounds and figures."""

    name: str
    start: int
    end: int
    fitted: int
    watched: int
    rounds: int
    figures: Figures


@dataclass(frozen=True)
class Shuffled:
    """The same walk over shuffled outcomes: the AUC of each run, to be 0.5, and its log-loss below the base rate's."""

    aucs: tuple[float, ...]
    gains: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Trained:
    """A booster that carries its description, and what is known of it.

    It was made of `recipe`, `walk` and `seed`. `pooled`, `trades` and `choice` are of the folds
    together, `tested` of the test part at the chosen threshold; `margin` is how far the log-loss is
    below the base rate's over folds and test. `doubts` say why it should not trade; none if it may.
    """

    recipe: Recipe
    walk: Walk
    seed: int
    booster: Any
    told: Told
    folds: tuple[Fold, ...]
    pooled: Figures
    trades: tuple[Trades, ...]
    choice: Choice
    chosen: Trades
    test: Fold | None
    tested: Trades | None
    margin: Margin
    shuffled: Shuffled
    doubts: tuple[str, ...]


def fit(rows: Dataset, watch: Dataset, seed: int) -> Any:
    """An XGBoost booster with as many rounds as lower the log-loss on `watch`.

    The same bytes for the same arguments, version and CPU architecture.
    """
    import xgboost

    names = features.names(rows.intervals)
    first = xgboost.QuantileDMatrix(rows.rows, rows.labels, feature_names=names, nthread=1)
    second = xgboost.QuantileDMatrix(watch.rows, watch.labels, feature_names=names, nthread=1, ref=first)
    parameters = {**PARAMETERS, "min_child_weight": len(rows) / LEAVES, "seed": seed}
    booster = xgboost.train(
        parameters, first, ROUNDS, evals=[(second, "watch")], early_stopping_rounds=PATIENCE, verbose_eval=False
    )
    return booster[: booster.best_iteration + 1]


def train(
    data: Dataset,
    recipe: Recipe,
    walk: Walk,
    *,
    seed: int = 0,
    shuffles: int = 0,
    choose: Callable[[Judged], Choice] = choose_threshold,
    progress: Progress = unseen,
) -> Trained:
    """Walk forward over the period, choose the threshold on the folds, measure it on the test part.

    The booster is the one that the test part was measured with, which has seen nothing of it; one
    fitted on the whole period where the walk has no test part. `ModelError` where a part has too
    few signals or only one outcome.
    """
    steps = _checked(data, walk, recipe)
    run = [_walked(part, seed, number) for number, part in enumerate(_shown(steps, "folds", progress))]
    folds, test = run[: walk.folds], run[walk.folds :]
    judged = Judged.join([each.judged for each in folds])
    choice, beyond = choose(judged), _margin(Judged.join([each.judged for each in run]), recipe, seed)
    last = (steps[-1].fit, steps[-1].watch) if test else known(data, recipe.until + walk.embargo, walk.embargo)
    booster = test[0].booster if test else fit(*last, seed)
    tested = trades(test[0].judged, choice.threshold) if test else None
    told = Told(
        data.intervals, features.schema_hash(data.intervals), choice.threshold, int(last[0].times.min()),
        int(last[1].ends.max()), recipe.name, str(recipe.barrier),
    )  # fmt: skip
    booster.set_attr(**{KEY: json.dumps(asdict(told), sort_keys=True)})
    return Trained(
        recipe=recipe,
        walk=walk,
        seed=seed,
        booster=booster,
        told=told,
        folds=tuple(each.fold for each in folds),
        pooled=figures(judged),
        trades=tuple(table(judged)),
        choice=choice,
        chosen=trades(judged, choice.threshold),
        test=test[0].fold if test else None,
        tested=tested,
        margin=beyond,
        shuffled=_shuffled(data, walk, recipe, range(seed + 1, seed + 1 + shuffles), progress),
        doubts=tuple(_doubts(beyond, test[0].fold.figures if test else None, choice, tested)),
    )


class _Walked(NamedTuple):
    fold: Fold
    judged: Judged
    booster: Any


def _walked(part: Part, seed: int, number: int) -> _Walked:
    """Fit on what is known before a part and judge on the part."""
    booster, judge = fit(part.fit, part.watch, seed), part.judge
    chances: Rows = booster.inplace_predict(judge.rows)
    base = np.full(len(judge), float(part.fit.labels.mean()))
    judged = Judged(chances, base, judge.labels, judge.returns, judge.times, np.full(len(judge), number))
    fold = Fold(
        part.name, part.start, part.end, len(part.fit), len(part.watch), booster.num_boosted_rounds(), figures(judged)
    )
    return _Walked(fold, judged, booster)


def _shown(steps: Sequence[T], stage: str, progress: Progress) -> Iterator[T]:
    """The steps, telling how many are done."""
    for done, step in enumerate(steps):
        progress(stage, done, len(steps))
        yield step
    progress(stage, len(steps), len(steps))


def _checked(data: Dataset, walk: Walk, recipe: Recipe) -> list[Part]:
    """The parts of the walk; `ModelError` where one has nothing to learn from or to judge on."""
    remedy = (
        "take a longer period, more symbols, a lower strategy.min_score, fewer training.folds or a shorter "
        "training.embargo_s"
    )
    if len(data) < LEAST:
        raise ModelError(f"too few signals to train on: {len(data)} with a known outcome; {remedy}")
    if len(np.unique(data.labels)) < 2:
        raise ModelError(
            f"all {len(data):,} signals ended as {'gains' if data.labels[0] else 'losses'}, so there is nothing to "
            "learn; change trading.take_profit, trading.stop_loss or trading.max_hold_s"
        )
    steps = list(parts(data, walk, recipe.since, recipe.until))
    for part in steps:
        for use, rows in (("fit", part.fit), ("watch", part.watch), ("judge", part.judge)):
            if len(rows) < LEAST:
                raise ModelError(f"too few signals to train on: {len(rows)} to {use} in {part.name}; {remedy}")
            if use != "judge" and len(np.unique(rows.labels)) < 2:
                raise ModelError(f"only one outcome among the {len(rows)} signals to {use} in {part.name}; {remedy}")
    return steps


def _margin(judged: Judged, recipe: Recipe, seed: int) -> Margin:
    return margin(gain(judged), judged.times, max(DAY, recipe.barrier.horizon), seed)


def _shuffled(data: Dataset, walk: Walk, recipe: Recipe, seeds: range, progress: Progress) -> Shuffled:
    """The walk again and again over outcomes that have nothing to do with their rows."""
    aucs, gains = list[float](), list[float]()
    for seed in _shown(seeds, "shuffled", progress):
        steps = parts(data.shuffled(seed), walk, recipe.since, recipe.until)
        judged = Judged.join([_walked(part, seed, number).judged for number, part in enumerate(steps)])
        aucs.append(auc(judged))
        gains.append(float(gain(judged).mean()))
    return Shuffled(tuple(aucs), tuple(gains))


def _doubts(beyond: Margin, test: Figures | None, choice: Choice, tested: Trades | None) -> Iterator[str]:
    """Why the model should not trade."""
    if not beyond.low > 0:
        yield (
            f"it does not beat the base rate: out of time its gain in log-loss is {beyond.mean:.5f}, with 95% "
            f"confidence {beyond.low:.5f} to {beyond.high:.5f}"
        )
    if test and not test.log_loss < test.base_log_loss:
        yield (
            f"it is no better than the base rate on the test part: log-loss {test.log_loss:.5f}, "
            f"base rate {test.base_log_loss:.5f}"
        )
    if not choice.profitable:
        yield f"its threshold of {choice.threshold:.4f} is {choice.why}"
    if tested and not tested.expectancy > 0:
        told = f"lost {-tested.expectancy:.3%} each after costs" if tested.trades else "are none"
        yield f"at that threshold its {tested.trades:,} trades of the test part {told}"
