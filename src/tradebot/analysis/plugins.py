"""Strategies that users add: from a file, a folder, or an installed package.

`my.py:Name` names a class in a file. In the configured folder every such class is known by its name in
lower case; a package offers classes under the entry point group `tradebot.strategies`. A strategy is a
frozen dataclass with `score` (see `strategies.Strategy`) or `frame` (see `frames.FrameStrategy`).

Whatever comes from outside is tried on invented bars before it may trade (see `promises`), and everything that
it raises later becomes a `StrategyError` with its name. A file or package that cannot be read takes only its own
strategies away: that is a warning, and an error only for whoever asks for one of them.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from tradebot.analysis.analyze import DEADLY
from tradebot.analysis.features import Features
from tradebot.analysis.frames import FRAME_MS, scores_of
from tradebot.analysis.pool import WorkerPool
from tradebot.analysis.promises import TOLERANCE, broken
from tradebot.analysis.strategies import STRATEGIES, Strategy, filled_in
from tradebot.errors import StrategyError, UnknownName, suggestion
from tradebot.market.bars import Floats, Panel

log = logging.getLogger(__name__)

GROUP = "tradebot.strategies"
_OURS = Path(__file__).parents[1]


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Whatever a foreign strategy raises is its own fault, and is told with its name and place."""
    try:
        yield
    except StrategyError as error:
        raise StrategyError(f"strategy '{name}': {error}") from None
    except (Exception, SystemExit) as error:
        raise StrategyError(f"strategy '{name}': raises {type(error).__name__}: {error}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """The innermost line of an error that is not ours, in brackets; empty where the error names its own."""
    lines = [] if isinstance(error, SyntaxError) else inspect.getinnerframes(error.__traceback__)  # type: ignore[arg-type]
    theirs = [line for line in lines if _is_file_of_theirs(line.filename)]
    return f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""


def _is_file_of_theirs(name: str) -> bool:
    return not name.startswith("<") and not Path(name).is_relative_to(_OURS)


@dataclass(frozen=True)
class Guarded:
    """A foreign strategy as a `Strategy`: its answers are checked, its errors are told with its name.

    `folder` is where it was looked for: a worker process makes it anew from that, its name and parameters.
    """

    name: str
    folder: str
    inner: Any

    @property
    def parameters(self) -> dict[str, float]:
        """Its parameters by name."""
        return {field.name: getattr(self.inner, field.name) for field in fields(self.inner)}

    @property
    def local(self) -> bool:
        """Whether it looks at each symbol by itself."""
        return self.wants_frames or bool(getattr(self.inner, "local", False))

    @property
    def text(self) -> str:
        """What it does, in its own words."""
        return _text(type(self.inner))

    @property
    def wants_frames(self) -> bool:
        """Whether it is a `FrameStrategy`."""
        return hasattr(self.inner, "frame")

    def score(self, features: Features) -> Floats:
        """Its scores, checked: shape `(…, symbols)`, numbers in [−1, 1] or NaN. `StrategyError` else.

        It sees features and bars that it cannot write to: they are those of everybody else too.
        """
        with _blamed(self.name), np.errstate(all="ignore"):
            if not self.wants_frames:
                return _sound(self.inner.score(_sealed(features)), features.values.shape[:-1])
            found = scores_of(self.inner, features.panels)
            return _sound(found if features.values.ndim == 3 else found[-1], features.values.shape[:-1])


def _sealed(features: Features) -> Features:
    panels = [replace(panel, data=_unwritable(panel.data)) for panel in features.panels]
    return replace(features, values=_unwritable(features.values), panels=panels)


def _unwritable(values: Floats) -> Floats:
    view = values.view()
    view.flags.writeable = False
    return view


def _sound(scores: object, shape: tuple[int, ...]) -> Floats:
    given = np.asarray(scores)
    if given.shape != shape:
        raise StrategyError(f"gives scores of shape {given.shape}, not {shape}")
    if given.dtype.kind not in "biuf":
        raise StrategyError(f"gives scores of type {given.dtype}, not numbers")
    found: Floats = given.astype(np.float64)
    if (np.abs(found) > 1 + TOLERANCE).any():
        worst = float(np.nanmax(np.abs(found)))
        raise StrategyError(f"gives a score of size {worst:.4g}; scores lie between −1 and 1")
    return found


def make(name: str, parameters: Mapping[str, float], folder: str, intervals: Sequence[str]) -> Strategy:
    """The strategy of this name with these parameters; one of the user's is checked first, and guarded.

    `UnknownName`, `ConfigError` for a parameter, `StrategyError` for one that does not keep its promises.
    """
    if name in STRATEGIES:
        return filled_in(name, STRATEGIES[name], parameters)
    guarded = _guarded(name, folder, parameters)
    if ":" not in name:  # one of many, by name
        catalogue(folder).warn()
    if reason := broken(guarded, intervals):
        raise StrategyError(f"strategy '{name}': {reason}")
    return guarded


def _guarded(name: str, folder: str, parameters: Mapping[str, float]) -> Guarded:
    return Guarded(name, folder, filled_in(name, _foreign(name, folder), parameters))


Task: TypeAlias = tuple[str, str, dict[str, float], Sequence[Panel]]


def frame_scores(task: Task) -> Floats:
    """Scores `(symbols,)` of a `FrameStrategy` at the panels' last bars: what a worker is given."""
    name, folder, parameters, panels = task
    strategy = _guarded(name, folder, parameters)
    with _blamed(name):
        return _sound(scores_of(strategy.inner, panels)[-1], (len(panels[0].symbols),))


async def scores(pool: WorkerPool, strategy: Strategy, features: Features) -> tuple[Floats, dict[str, str]]:
    """A strategy's scores `(symbols,)`; those of one that wants pandas come from the workers.

    And the symbols whose worker process died of them, with that reason; their scores are NaN.
    """
    if not (isinstance(strategy, Guarded) and strategy.wants_frames):
        return strategy.score(features), {}

    def task(cut: slice) -> Task:
        panels = [panel.take(range(cut.start, cut.stop)) for panel in features.panels]
        return strategy.name, strategy.folder, strategy.parameters, panels

    count = len(features.symbols)
    found = np.full(count, np.nan)
    done, deadly = await pool.spread(frame_scores, count, task, FRAME_MS * count)
    for cut, part in done:
        found[cut] = part
    return found, {features.symbols[row]: DEADLY for row in deadly}


def _foreign(name: str, folder: str) -> type[Any]:
    path, colon, kind = name.rpartition(":")
    if colon and path.endswith(".py"):
        found = _classes(Path(path).expanduser())
        if kind not in found:
            raise UnknownName(f"{path} has no strategy '{kind}'{suggestion(kind, found)}")
        return found[kind]
    known = catalogue(folder)
    if name in known.kinds:
        return known.kinds[name]
    if name in known.broken:
        raise StrategyError(known.broken[name])
    known.warn()  # what was meant may stand in one of those
    raise UnknownName(f"unknown strategy '{name}'{suggestion(name, known.kinds)}")


@dataclass(frozen=True)
class Catalogue:
    """All strategies by name, and of the names that cannot be used why: an error's line."""

    kinds: Mapping[str, type[Any]]
    broken: Mapping[str, str]

    def warn(self) -> None:
        """Log what cannot be used, each cause once a process however often it is read."""
        for cause in dict.fromkeys(self.broken.values()):
            _warn(cause)


@lru_cache(maxsize=256)
def _warn(cause: str) -> None:
    log.warning("%s", cause)


def catalogue(folder: str) -> Catalogue:
    """Ours, the folder's, those of packages. `StrategyError` for a folder that is not there.

    Of a name used twice the one that is ours stays; otherwise none can be used.
    """
    kinds: dict[str, type[Any]] = dict(STRATEGIES)
    broken: dict[str, str] = {}
    for name, found, place in [*_of_folder(folder), *_of_packages()]:
        if isinstance(found, str):
            broken[name] = found
        elif name in kinds or name in broken:
            broken[name] = f"strategy '{name}' of {place} has the name of another one; rename its class"
        else:
            kinds[name] = found
    return Catalogue({name: kinds[name] for name in kinds if name in STRATEGIES or name not in broken}, broken)


_Found: TypeAlias = tuple[str, type[Any] | str, str]
"""A name, its class or why there is none, and where it stands."""


def _of_folder(folder: str) -> Iterator[_Found]:
    if not folder:
        return
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise StrategyError(f"strategy.folder = {folder}: no such folder")
    for file in sorted(path.glob("*.py")):
        try:
            yield from ((name.lower(), kind, str(file)) for name, kind in _classes(file).items())
        except StrategyError as error:
            yield from ((name, str(error), str(file)) for name in _names_in(file) or [str(file)])


def _names_in(file: Path) -> list[str]:
    """The names of a file's classes as far as its text tells: it cannot be run."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return [name.lower() for name in re.findall(r"^class\s+(\w+)", text, re.MULTILINE)]


def _of_packages() -> Iterator[_Found]:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        place = f"package {point.dist.name if point.dist else point.value}"
        try:
            with _blamed(point.name):
                kind = point.load()
            yield point.name, kind, place
        except StrategyError as error:
            yield point.name, f"{place}: {error}; mend it, or uninstall the package", place


def _classes(file: Path) -> dict[str, type[Any]]:
    """The strategies that a file defines, by class name; `StrategyError` with file and line."""
    try:
        state = file.stat()
    except OSError as error:
        raise StrategyError(f"{file}: {error.strerror}") from None
    module = _module(str(file.resolve()), state.st_mtime_ns)
    if isinstance(module, str):
        raise StrategyError(f"{file}{module}; mend the file, or move it away")
    kinds = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    found = {each.__name__: each for each in kinds if hasattr(each, "score") or hasattr(each, "frame")}
    for name, kind in found.items():
        if not is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise StrategyError(f"{file}: {name} is not a frozen dataclass; put @dataclass(frozen=True) before it")
    return found


@lru_cache(maxsize=32)
def _module(file: str, _mtime_ns: int) -> ModuleType | str:
    """The file as a module, run once for each state of it; of one that breaks, in which line and how."""
    name = f"tradebot_strategy_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        return ": not a Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        return _breakage(error, file)
    return module


def _breakage(error: BaseException, file: str) -> str:
    """What follows a file's name: its line that was not got over, the kind of error and its words."""
    if isinstance(error, SyntaxError) and error.filename == file:
        line, words = error.lineno, error.msg
    else:
        frames = inspect.getinnerframes(error.__traceback__)  # type: ignore[arg-type]
        line = next((frame.lineno for frame in frames if frame.filename == file), None)
        words = f"{error}{_place(error)}" if frames[-1].filename != file else str(error)
    return f"{f', line {line}' if line else ''}: {type(error).__name__}: {words}"


def _text(kind: type[Any]) -> str:
    told = str(getattr(kind, "text", "") or (kind.__doc__ or ""))
    return told.strip().split("\n", maxsplit=1)[0]


def described(folder: str) -> list[dict[str, str]]:
    """Every strategy with what it does, its parameters and whether it is ours."""
    known = catalogue(folder)
    known.warn()
    return [
        {
            "name": name,
            "text": _text(kind),
            "parameters": ", ".join(
                field.name if field.default is MISSING else f"{field.name}={field.default}" for field in fields(kind)
            ),
            "from": "tradebot" if name in STRATEGIES else kind.__module__.removeprefix("tradebot_strategy_"),
        }
        for name, kind in sorted(known.kinds.items())
    ]
