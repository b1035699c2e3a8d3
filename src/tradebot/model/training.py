"""From panels to a booster that knows what it is worth: dataset, fit, honest figures.

Everything here is a pure function of arrays, and deterministic for one seed. A row is a signal of
a strategy; its label says whether a trade opened on it would have earned more than its fees.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradebot.analysis import features
from tradebot.analysis.strategies import Strategy
from tradebot.errors import ModelError
from tradebot.market.bars import Floats, Mask, Panel, Times
from tradebot.model.export import Told
from tradebot.model.labels import Barrier, outcomes
from tradebot.model.predictor import KEY, Rows
from tradebot.model.validation import Figures, choose_threshold, figures

# Few, small, slow trees: a signal's outcome is mostly noise, and neighbouring signals share theirs.
# One thread, so that sums have one order.
PARAMETERS: dict[str, Any] = {
    "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "max_depth": 4, "eta": 0.015,
    "subsample": 0.5, "colsample_bytree": 0.5, "lambda": 5.0, "nthread": 1,
}  # fmt: skip
ROUNDS = 600
PATIENCE = 40
LEAVES = 300  # at least this part of the signals in a leaf, counted by XGBoost's weights of up to a quarter


@dataclass(frozen=True, eq=False)
class Dataset:
    """One row a signal, ordered by time, then symbol; only warm ones whose outcome is known.

    `rows` `(n, 31)` float32; `returns` net of fees; `labels` 1 where the return is above 0;
    `times` the signal bar's open, `ends` the end of its trade, UTC ms; `symbols` names.
    """

    intervals: tuple[str, ...]
    rows: Rows
    returns: Floats
    times: Times
    ends: Times
    symbols: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Rows:
        """1 for a trade that earned more than its fees, else 0, float32."""
        return (self.returns > 0).astype(np.float32)

    def take(self, mask: Mask) -> Dataset:
        """The rows where `mask` is true."""
        return Dataset(
            self.intervals, self.rows[mask], self.returns[mask], self.times[mask], self.ends[mask], self.symbols[mask]
        )

    @classmethod
    def join(cls, stretches: Sequence[Dataset]) -> Dataset:
        """Successive stretches of time as one."""
        arrays = ("rows", "returns", "times", "ends", "symbols")
        return cls(stretches[0].intervals, *(np.concatenate([getattr(s, a) for s in stretches]) for a in arrays))

    def parts(self, *cuts: float) -> list[Dataset]:
        """Successive stretches of time, cut at these shares of the whole.

        Purged: a trade that had not ended when the next part began is in neither.
        """
        first, last = int(self.times.min()), int(self.times.max()) + 1
        edges = [first, *(first + int((last - first) * cut) for cut in cuts), int(self.ends.max()) + 1]
        return [self.take((self.times >= left) & (self.ends <= right)) for left, right in pairwise(edges)]


def dataset(panels: Sequence[Panel], strategy: Strategy, min_score: float, barrier: Barrier) -> Dataset:
    """Rows and outcomes of the strategy's BUY signals on every bar of the finest panel."""
    intervals = tuple(panel.interval for panel in panels)
    values = features.align(panels)
    scores = strategy.score(features.Features(features.names(intervals), panels[0].symbols, values))
    bars, symbols = np.nonzero(scores >= min_score)
    returns, ends = outcomes(panels[0], symbols, bars, barrier)
    rows, names = values[bars, symbols].astype(np.float32), np.array(panels[0].symbols)[symbols]
    known = ~np.isnan(returns) & ~np.isnan(rows).any(axis=1)
    return Dataset(intervals, rows, returns, panels[0].times[bars], ends, names).take(known)


def fit(rows: Dataset, watch: Dataset, seed: int) -> Any:
    """An XGBoost booster with as many rounds as lower the log-loss on `watch`.

    The same bytes for the same arguments, version and CPU architecture.
    """
    import xgboost

    names = features.names(rows.intervals)
    first, second = (xgboost.DMatrix(part.rows, part.labels, feature_names=names, nthread=1) for part in (rows, watch))
    parameters = {**PARAMETERS, "min_child_weight": len(rows) / LEAVES, "seed": seed}
    booster = xgboost.train(
        parameters, first, ROUNDS, evals=[(second, "watch")], early_stopping_rounds=PATIENCE, verbose_eval=False
    )
    return booster[: booster.best_iteration + 1]


@dataclass(frozen=True)
class Trained:
    """A booster that carries its description, the parts it was made and measured on, and its figures."""

    booster: Any
    told: Told
    signals: tuple[int, int, int]
    validation: Figures
    test: Figures


def train(data: Dataset, strategy: str, barrier: Barrier, seed: int, least_share: float = 1 / 3) -> Trained:
    """Fit on the first 60 % of the time, choose rounds and threshold on the next 20 %, measure on the last 20 %.

    The threshold is one that at least `least_share` of the signals pass. The booster is the one
    that was measured, not one fitted again on everything. `ModelError` where a part has no signal
    or only one outcome.
    """
    parts = data.parts(0.6, 0.8)
    if min(len(np.unique(part.labels)) for part in parts) < 2:
        raise ModelError(f"too few signals to train on: {', '.join(str(len(part)) for part in parts)} in three parts")
    first = parts[0]
    booster = fit(first, parts[1], seed)
    chances = [booster.inplace_predict(part.rows) for part in parts]
    threshold = choose_threshold(chances[1], parts[1].returns, least_share)
    base = float(first.labels.mean())
    told = Told(
        data.intervals, features.schema_hash(data.intervals), threshold, int(first.times.min()), int(first.ends.max()),
        strategy, str(barrier),
    )  # fmt: skip
    booster.set_attr(**{KEY: json.dumps(asdict(told), sort_keys=True)})
    validation, test = (
        figures(chance, part.labels, part.returns, threshold, base)
        for chance, part in zip(chances[1:], parts[1:], strict=True)
    )
    return Trained(booster, told, (len(first), len(parts[1]), len(parts[2])), validation, test)
