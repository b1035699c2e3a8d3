"""Strategies: pure functions of the features, one file each, and the signals that follow from their scores.

A strategy is a frozen dataclass whose fields are its parameters, registered under its name. Every
module in this package is imported with it, so a new strategy is one new file and nothing else.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tradebot.analysis.features import Features
from tradebot.errors import ConfigError, suggestion
from tradebot.market.bars import Floats
from tradebot.market.venue import Side
from tradebot.registry import Registry

Row: TypeAlias = NDArray[np.float32]
K = TypeVar("K")


class Strategy(Protocol):
    """Features in, scores out; a frozen dataclass whose fields are its parameters."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def local(self) -> bool:
        """Whether it looks at each symbol by itself."""

    @property
    def text(self) -> str:
        """What it does, in a line."""

    def score(self, features: Features) -> Floats:
        """Scores `(…, symbols)` in [−1, 1], positive to buy; NaN where it has no view. Each row for itself."""


STRATEGIES: Registry[type[Strategy]] = Registry("strategy")


@dataclass(frozen=True, eq=False, slots=True)
class Signal:
    """A symbol to act on. `bar_time` is the open time (UTC ms) of the finest bar it follows from, `row` `(31,)`."""

    symbol: str
    side: Side
    bar_time: int
    score: float
    row: Row


def make(name: str, parameters: Mapping[str, float]) -> Strategy:
    """The registered strategy of this name with these parameters. `UnknownName`, and what `filled_in` raises."""
    return filled_in(name, STRATEGIES[name], parameters)


def filled_in(name: str, kind: type[K], parameters: Mapping[str, float]) -> K:
    """A strategy class with these parameters, the others at their defaults.

    `ConfigError` for a parameter that it does not have, that is not a finite number, or that is missing.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # it is a dataclass
    for key, value in parameters.items():
        if key not in known:
            raise ConfigError(f"strategy '{name}' has no parameter '{key}'{suggestion(key, known)}")
        if not math.isfinite(value):
            raise ConfigError(f"strategy '{name}': {key} = {value} is not a finite number")
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in parameters and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"strategy '{name}' needs strategy.parameters.{field.name}: it has no default")
    return kind(**parameters)


def signals(features: Features, score: Floats, min_score: float, bar_time: int) -> list[Signal]:
    """The scores `(symbols,)` that are not 0 and at least `min_score` in size, strongest first, then by symbol."""
    with np.errstate(invalid="ignore"):
        chosen = np.flatnonzero((np.abs(score) >= min_score) & (score != 0))
    sizes, rows = score[chosen].tolist(), features.values[chosen].astype(np.float32)
    found = [
        Signal(features.symbols[place], Side.BUY if size > 0 else Side.SELL, bar_time, size, row)
        for place, size, row in zip(chosen.tolist(), sizes, rows, strict=True)
    ]
    return sorted(found, key=lambda signal: (-abs(signal.score), signal.symbol))


for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
