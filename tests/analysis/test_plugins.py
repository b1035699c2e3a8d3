"""Strategies that users add."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from markets import INTERVALS, random_panels

from tradebot.analysis import indicators, plugins
from tradebot.analysis.features import Features, align, names
from tradebot.analysis.pool import WorkerPool
from tradebot.analysis.strategies import STRATEGIES, Strategy
from tradebot.errors import ConfigError, StrategyError, UnknownName

HEAD = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
"""
MINE = """
@dataclass(frozen=True)
class Mine:
    '''Follows the RSI.'''
    local: ClassVar[bool] = True
    gain: float = 0.5

    def score(self, features):
        return self.gain * features["rsi_7_5m"]
"""
FRAMED = """
@dataclass(frozen=True)
class Crossing:
    text: ClassVar[str] = "crosses two means"
    fast: float = 5

    def frame(self, frames):
        close = frames["5m"]["close"]
        return np.tanh(100 * (close.rolling(int(self.fast)).mean() / close.rolling(20).mean() - 1))
"""


def written(folder: Path, code: str, name: str = "my.py") -> Path:
    path = folder / name
    path.write_text(HEAD + dedent(code))
    return path


def made(path: Path, kind: str, **parameters: float) -> Strategy:
    return plugins.make(f"{path}:{kind}", parameters, "", INTERVALS)


def features() -> Features:
    panels = random_panels(4, 110)
    return Features(names(INTERVALS), panels[0].symbols, align(panels)[-1], panels)


def body(code: str) -> str:
    return f"""
@dataclass(frozen=True)
class Bad:
    local: ClassVar[bool] = False

    def score(self, features):
        {code}
"""


def test_our_own_are_made_by_name_as_ever() -> None:
    assert plugins.make("trend", {"strength": 2.0}, "", INTERVALS) == STRATEGIES["trend"](strength=2.0)


def test_one_from_a_file_is_named_by_file_and_class(tmp_path: Path) -> None:
    strategy = made(written(tmp_path, MINE), "Mine", gain=0.25)
    np.testing.assert_array_equal(strategy.score(features()), 0.25 * features()["rsi_7_5m"])
    assert strategy.local
    assert strategy.text == "Follows the RSI."


GUIDE = Path(__file__).parents[2] / "docs" / "strategies.md"


@pytest.mark.parametrize("kind", ["Squeeze", "Turn"])
def test_the_examples_of_the_guide_keep_what_strategies_promise(tmp_path: Path, kind: str) -> None:
    (code,) = (
        code for code in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if f"class {kind}" in code
    )
    path = tmp_path / "example.py"
    path.write_text(code)
    assert made(path, kind).local


def test_the_guide_lists_every_indicator() -> None:
    functions = {
        name for name, each in inspect.getmembers(indicators, inspect.isfunction)
        if not name.startswith("_") and next(iter(inspect.signature(each).parameters)) == "ops"
    }  # fmt: skip
    section = GUIDE.read_text().partition("## Indicators")[2].partition("| what |")[2]
    assert set(re.findall(r"`([a-z_]+)`", section)) == functions


def test_a_file_is_read_again_after_a_change(tmp_path: Path) -> None:
    path = written(tmp_path, MINE)
    made(path, "Mine")
    import os

    written(tmp_path, MINE.replace("gain: float = 0.5", "gain: float = -0.5"))
    os.utime(path, ns=(1, 1))
    assert made(path, "Mine").score(features())[0] == -0.5 * features()["rsi_7_5m"][0]


def test_those_of_a_folder_are_known_by_their_class_names(tmp_path: Path) -> None:
    written(tmp_path, MINE)
    written(tmp_path, FRAMED, "other.py")
    assert {"mine", "crossing", *STRATEGIES} == set(plugins.catalogue(str(tmp_path)).kinds)
    assert plugins.make("crossing", {}, str(tmp_path), INTERVALS).text == "crosses two means"
    rows = {row["name"]: row for row in plugins.described(str(tmp_path))}
    assert rows["mine"] == {"name": "mine", "text": "Follows the RSI.", "parameters": "gain=0.5", "from": "my"}
    assert rows["trend"]["from"] == "tradebot"


def test_a_package_offers_one_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, MINE, "wonder_bot.py")
    info = tmp_path / "wonder_bot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wonder-bot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tradebot.strategies]\nwonder = wonder_bot:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugins.make("wonder", {}, "", INTERVALS).text == "Follows the RSI."
    assert any(row["name"] == "wonder" for row in plugins.described(""))


def test_a_name_of_ours_stays_ours(tmp_path: Path) -> None:
    written(tmp_path, MINE.replace("Mine", "Trend"), "again.py")
    known = plugins.catalogue(str(tmp_path))
    assert known.kinds["trend"] is STRATEGIES["trend"]
    assert "again.py has the name of another one; rename its class" in known.broken["trend"]


def test_of_a_name_that_two_files_use_none_is_taken(tmp_path: Path) -> None:
    written(tmp_path, MINE, "one.py")
    written(tmp_path, MINE, "two.py")
    with pytest.raises(StrategyError, match=r"strategy 'mine' of .*two\.py has the name of another one"):
        plugins.make("mine", {}, str(tmp_path), INTERVALS)


BROKEN = {
    "syntax.py": ("class Torn(\n", "torn", r"syntax\.py, line 5: SyntaxError: '\(' was never closed; mend the file"),
    "lost.py": ("import none_such\nclass Lost: ...", "lost", r"lost\.py, line 5: ModuleNotFoundError: No module named"),
    "loose.py": (
        MINE.replace("(frozen=True)", "").replace("Mine", "Loose"),
        "loose",
        "Loose is not a frozen dataclass",
    ),
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_file_that_breaks_takes_only_its_own_strategies_away(
    tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, name, reason = BROKEN[file]
    written(tmp_path, MINE)
    (tmp_path / file).write_text(HEAD + code)
    assert plugins.make("mine", {}, str(tmp_path), INTERVALS).text == "Follows the RSI."
    assert "mine" in {row["name"] for row in plugins.described(str(tmp_path))}
    assert len(caplog.records) == 1  # once, however often the folder is read
    assert re.search(reason, caplog.text)
    with pytest.raises(StrategyError, match=reason):
        plugins.make(name, {}, str(tmp_path), INTERVALS)


def test_whoever_asks_for_one_of_a_broken_file_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "torn.py").write_text("class Torn(")
    with pytest.raises(StrategyError, match=r"torn\.py, line 1"):
        plugins.make("torn", {}, str(tmp_path), INTERVALS)
    assert not caplog.records


def test_an_unknown_name_may_stand_in_a_file_that_breaks_which_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "helper.py").write_text("1 / 0")
    with pytest.raises(UnknownName, match="unknown strategy 'torn'"):
        plugins.make("torn", {}, str(tmp_path), INTERVALS)
    assert "helper.py, line 1: ZeroDivisionError" in caplog.text


def test_a_package_that_breaks_takes_only_its_own_strategy_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "blunder_bot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blunder-bot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tradebot.strategies]\nblunder = blunder_bot:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {row["name"] for row in plugins.described("")} >= set(STRATEGIES)
    assert "package blunder-bot: strategy 'blunder': raises ModuleNotFoundError" in caplog.text
    with pytest.raises(StrategyError, match="uninstall the package"):
        plugins.make("blunder", {}, "", INTERVALS)


def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, MINE)
    with pytest.raises(UnknownName, match=r"has no strategy 'Mien'; did you mean 'Mine'\?"):
        made(path, "Mien")
    with pytest.raises(UnknownName, match=r"unknown strategy 'mien'; did you mean 'mine'\?"):
        plugins.make("mien", {}, str(tmp_path), INTERVALS)
    with pytest.raises(ConfigError, match=r"has no parameter 'gian'; did you mean 'gain'\?"):
        made(path, "Mine", gian=1.0)


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"none\.py: No such file"):
        made(tmp_path / "none.py", "Mine")
    with pytest.raises(StrategyError, match=r"strategy\.folder = .*none: no such folder"):
        plugins.catalogue(str(tmp_path / "none"))


def test_a_file_that_cannot_be_run_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"my\.py, line 6: ZeroDivisionError: division by zero; mend the file"):
        made(written(tmp_path, "\n1 / 0", "my.py"), "Mine")
    with pytest.raises(StrategyError, match=r"torn\.py, line 6: SyntaxError: "):
        made(written(tmp_path, "\nclass", "torn.py"), "Mine")
    with pytest.raises(StrategyError, match=r"ends\.py, line 6: SystemExit: 3"):
        made(written(tmp_path, "\nraise SystemExit(3)", "ends.py"), "Mine")


def test_a_file_that_breaks_in_another_is_refused_with_both_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "of_the_users.py").write_text("\n\n1 / 0")
    with pytest.raises(StrategyError, match=r"my\.py, line 5: ZeroDiv.* zero \(of_the_users\.py, line 3\); mend"):
        made(written(tmp_path, "import of_the_users"), "Mine")


def test_a_class_that_is_no_dataclass_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = written(tmp_path, MINE.replace("@dataclass(frozen=True)", ""))
    with pytest.raises(StrategyError, match=r"Mine is not a frozen dataclass; put @dataclass\(frozen=True\) before it"):
        made(path, "Mine")


def test_one_that_could_change_itself_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, MINE.replace("(frozen=True)", ""))
    with pytest.raises(StrategyError, match="Mine is not a frozen dataclass"):
        made(path, "Mine")


def test_a_parameter_without_a_default_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, MINE.replace("gain: float = 0.5", "gain: float"))
    with pytest.raises(ConfigError, match=r"needs strategy\.parameters\.gain: it has no default"):
        made(path, "Mine")
    assert made(path, "Mine", gain=0.5).text == "Follows the RSI."
    assert {row["name"]: row["parameters"] for row in plugins.described(str(tmp_path))}["mine"] == "gain"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise KeyError('spam')", r"raises KeyError: 'spam' \(my\.py, line 11\)"),
        ("return np.zeros(3)", r"gives scores of shape \(3,\), not \(192, 8\)"),
        ("return 2 + 0 * features['rsi_7_5m']", r"gives a score of size 2; scores lie between"),
        ("raise SystemExit(0)", r"raises SystemExit: 0 \(my\.py, line 11\)"),
        ("return features['rsi_7_5m'] * 1j", r"gives scores of type complex128, not numbers"),
        ("return np.full(features.values.shape[:-1], '0.5')", r"gives scores of type <U3, not numbers"),
        ("features.values[features.values > 1e9] = 0; return features['rsi_7_5m']", r"raises ValueError: .*read-only"),
        ("features.panels[0].close[0, 0] += 1; return features['rsi_7_5m']", r"raises ValueError: .*read-only"),
        ("return np.full(features.values.shape[:-1], np.inf)", r"gives a score of size inf"),
        ("c = features['rsi_7_5m']; return np.tanh(c - np.nanmean(c))", r"looks ahead"),
        ("return features['rsi_7_7m']", r"raises UnknownName: unknown feature .* \(my\.py, line 11\)"),
    ],
)
def test_one_that_breaks_a_promise_is_refused_with_name_and_reason(tmp_path: Path, code: str, reason: str) -> None:
    path = written(tmp_path, body(code))
    with pytest.raises(StrategyError, match=rf"strategy '.*my\.py:Bad': {reason}"):
        made(path, "Bad")


def test_one_that_fails_later_is_still_told_by_name(tmp_path: Path) -> None:
    strategy = made(written(tmp_path, body("return features['rsi_7_5m'] / (len(features.symbols) != 4)")), "Bad")
    with pytest.raises(StrategyError, match=r"my\.py:Bad': gives a score of size"):
        strategy.score(features())


@pytest.mark.parametrize("use", ["always", "never"])
async def test_one_that_wants_pandas_gives_the_same_in_workers_as_here(tmp_path: Path, use: str) -> None:
    strategy = made(written(tmp_path, FRAMED), "Crossing", fast=4.0)
    table = features()
    with WorkerPool(2, use) as pool:  # type: ignore[arg-type]
        found, deadly = await plugins.scores(pool, strategy, table)
    np.testing.assert_array_equal(found, strategy.score(table))
    assert not np.isnan(found).any()
    assert deadly == {}


async def test_a_symbol_of_which_workers_die_is_left_out_with_its_reason_and_no_other_is(tmp_path: Path) -> None:
    table = features()
    price = float(table.panels[0].close[2, -1])
    kill = f"__import__('os')._exit(9) if frames['5m']['close'].iloc[-1] == {price!r} else None; close = frames"
    strategy = made(written(tmp_path, FRAMED.replace("close = frames", kill)), "Crossing")
    with WorkerPool(2, "always") as pool:
        found, deadly = await plugins.scores(pool, strategy, table)
    assert deadly == {"S002": "worker processes die of its bars"}
    assert np.flatnonzero(np.isnan(found)).tolist() == [2]


async def test_one_that_fails_in_a_worker_is_told_by_name(tmp_path: Path) -> None:
    path = written(
        tmp_path, FRAMED.replace("close = frames", "assert frames['5m'].index[0].year < 2025; close = frames")
    )
    strategy = made(path, "Crossing")
    with WorkerPool(2, "always") as pool, pytest.raises(StrategyError, match=r"Crossing': raises AssertionError"):
        await plugins.scores(pool, strategy, features())


async def test_one_of_features_is_scored_in_this_process() -> None:
    strategy, table = STRATEGIES["trend"](), features()
    with WorkerPool(1, "never") as pool:
        found, _ = await plugins.scores(pool, strategy, table)
    np.testing.assert_array_equal(found, strategy.score(table))
