"""The command line as its users meet it: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tradebot.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tradebot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program in an empty folder, with a data folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADEBOT_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        printed = capsys.readouterr()
        code = end.value.code
        assert isinstance(code, int)
        return code, printed.out, printed.err

    return run


SMALL = ("--set", "sim.symbols=4")


def test_without_a_command_it_shows_its_help(tradebot: Run) -> None:
    code, out, err = tradebot()
    assert (code, err) == (0, "")
    assert "Commands:" in out


def test_it_tells_its_version(tradebot: Run) -> None:
    from tradebot import __version__

    assert tradebot("--version") == (0, f"tradebot {__version__}\n", "")


@pytest.mark.parametrize(
    "command", ["fetch", "analyze", "predict", "run", "positions", "export-onnx", "bench", "sim serve"]
)
def test_every_command_has_help_with_an_example(tradebot: Run, command: str) -> None:
    code, out, _ = tradebot(*command.split(), "--help")
    assert code == 0
    assert "Example: tradebot" in " ".join(out.split())
    assert "--json" in out


WRONG = [
    (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'?"),
    (["run", "--onec"], 2, "No such option: --onec (Possible options: "),
    (["run", "--once", "--cycles", "3"], 2, "--once is one cycle, --cycles 3 is not"),
    (["run", "--set", "venue"], 2, "--set venue: write it as section.key=value"),
    (["run", "--set", "venue.nmae=x"], 2, "unknown key 'venue.nmae'; did you mean 'name'?"),
    (["run", "--bars", "many"], 2, "--bars: market.bars = 'many': input should be a valid integer"),
    (["run", "--config", "nowhere.toml"], 2, "no configuration file nowhere.toml"),
    (["fetch", "--symbols", "BTCUSDX"], 2, "unknown symbol 'BTCUSDX'; did you mean 'BTCUSDT'?"),
    (["fetch", "--intervals", "5m,7m,1h"], 2, "unknown interval '7m'"),
    (["analyze", "--intervals", "1h,15m,5m"], 2, "from fine to coarse"),
    (["analyze", "--strategy", "trand"], 2, "unknown strategy 'trand'; did you mean 'trend'?"),
    (["fetch", "--set", "market.bars=7"], 2, "--set market.bars: market.bars = '7': "),
    (["analyze", "--set", "strategy.parameters=3"], 2, "strategy.parameters"),
    (["run", "--venue", "binanse"], 2, "unknown venue 'binanse'; did you mean 'binance'?"),
    (["predict", "--model", "nowhere.onnx"], 4, "nowhere.onnx"),
    (["run", "--once", "--model", "nowhere.onnx"], 4, "nowhere.onnx"),
    (["export-onnx", "nowhere.ubj"], 4, "nowhere.ubj"),
    (["fetch", "--venue", "binance", "--base-url", "http://127.0.0.1:9", "--set", "venue.retries=0"], 3, "127.0.0.1:9"),
    (["sim", "serve", "--klines", "nowhere"], 3, "nowhere"),
    (["sim", "serve", "--at", "yesterday"], 2, "'yesterday' is not a time; write it as 2018-01-20T00:00:00Z"),
]


@pytest.mark.parametrize(("arguments", "expected", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_bad_input_gets_one_line_and_the_right_code(
    tradebot: Run, arguments: list[str], expected: int, said: str
) -> None:
    code, out, err = tradebot(*arguments)
    assert code == expected, err
    assert said in err
    assert (out, err.count("\n"), err.startswith("tradebot: ")) == ("", 1, True)


def test_a_corrupt_model_is_named_and_leaves_no_order(tradebot: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    code, out, err = tradebot("run", "--once", "--model", str(broken), *SMALL)
    assert (code, out) == (4, "")
    assert "broken.onnx" in err


def test_a_bug_says_so_and_hides_its_traceback(tradebot: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradebot.commands.strategies", lambda _: 1 / 0)
    code, _, err = tradebot("analyze", "--list")
    assert code == 1
    assert "a bug: ZeroDivisionError" in err
    assert "Traceback" not in err


def document(result: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = result
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    assert found["schema"] == 1
    return found


def test_fetch_tells_each_series_and_fetches_nothing_twice(tradebot: Run) -> None:
    first = document(tradebot("fetch", "--json", *SMALL, "--set", "sim.at=2025-06-02T12:00:30Z"))
    again = document(tradebot("fetch", "--json", *SMALL, "--set", "sim.at=2025-06-02T12:01:30Z"))
    assert {"venue", "now", "elapsed_ms", "requests", "weight", "series", "errors"} <= first.keys()
    assert [row["rows"] for row in first["series"]] == [200] * 12
    fields = {"symbol", "interval", "rows", "new", "revised", "first_open", "last_open", "gaps", "open"}
    assert set(first["series"][0]) == fields
    assert [row["new"] for row in again["series"]] == [0] * 12
    assert again["requests"] == first["requests"] - 12


def test_explain_tells_why_and_where_each_feature_stands(tradebot: Run) -> None:
    found = document(tradebot("analyze", "--explain", "btcusdt", "--json"))
    assert found["symbol"] == "BTCUSDT"
    assert found["reason"]
    assert [set(row) for row in found["features"]] == [{"name", "value", "rank", "median"}] * 31
    code, _, table = tradebot("analyze", "--explain", "BTCUSDT")
    assert code == 0
    assert "market_trend" in table
    assert tradebot("analyze", "--explain", "BTCUSD", "--json")[0] == 2


def test_output_writes_every_symbol_with_its_score_and_features(tradebot: Run, tmp_path: Path) -> None:
    found = document(tradebot("analyze", "--json", "--output", str(tmp_path / "all.csv")))
    header, *rows = (tmp_path / "all.csv").read_text().splitlines()
    assert header.startswith("symbol,bar_time,score,side,skipped,ret_1_5m,")
    assert len(rows) == 30
    bought = [row.split(",")[0] for row in rows if row.split(",")[3]]
    assert sorted(bought) == sorted(signal["symbol"] for signal in found["signals"])
    code, _, err = tradebot("analyze", "--output", str(tmp_path / "all.xls"))
    assert (code, "ends in .csv or .parquet" in err) == (2, True)
    assert tradebot("analyze", "--output", "a.csv", "--explain", "BTCUSDT")[0] == 2


def test_a_table_of_features_is_predicted_like_the_signals_it_holds(tradebot: Run, tmp_path: Path) -> None:
    fixed = ("--set", "sim.at=2025-06-02T12:00:30Z", "--set", "sim.clock=stepped")
    document(tradebot("analyze", "--json", *fixed, "--output", str(tmp_path / "all.csv")))
    live = document(tradebot("predict", "--json", *fixed))
    found = document(
        tradebot("predict", "--json", "--input", str(tmp_path / "all.csv"), "--output", f"{tmp_path}/p.csv")
    )
    assert len(found["predictions"]) == 30
    chances = {row["symbol"]: row["probability"] for row in found["predictions"]}
    assert live["predictions"]
    assert all(chances[row["symbol"]] == row["probability"] for row in live["predictions"])
    header, first, *_ = (tmp_path / "p.csv").read_text().splitlines()
    assert header.endswith(",market_trend,probability")
    assert float(first.split(",")[-1]) == found["predictions"][0]["probability"]
    assert tradebot("predict", "--output", "p.csv")[0] == 2
    aged = ("--input", str(tmp_path / "all.csv"), "--set", "model.max_age_days=0.001")
    assert tradebot("predict", *aged)[0] == 0  # its bars are older than the model
    recent = [
        row.replace(row.split(",")[1], "1900000000000", 1) for row in (tmp_path / "all.csv").read_text().split()[1:]
    ]
    (tmp_path / "recent.csv").write_text("\n".join([header.removesuffix(",probability"), *recent]))
    code, _, err = tradebot("predict", "--input", str(tmp_path / "recent.csv"), *aged[2:])
    assert (code, "days old" in err) == (4, True)
    (tmp_path / "bad.csv").write_text("ret_1_5m\n1\n")
    code, _, err = tradebot("predict", "--input", str(tmp_path / "bad.csv"))
    assert (code, "lacks 30 of the model's 31 columns" in err) == (4, True)


def test_a_model_that_is_too_old_is_refused(tradebot: Run) -> None:
    code, _, err = tradebot("predict", "--set", "sim.at=2030-01-01T00:00:00Z", "--set", "model.max_age_days=30")
    assert (code, "days old, of 30 allowed" in err) == (4, True)


def test_a_strategy_of_ones_own_trades_and_a_broken_one_is_refused_by_name(tradebot: Run, tmp_path: Path) -> None:
    code = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    'Follows.'\n"
    (tmp_path / "my.py").write_text(f"{code}    def score(self, features):\n        return features['rsi_7_5m']\n")
    found = document(tradebot("analyze", "--strategy", f"{tmp_path}/my.py:Mine", "--json"))
    assert found["signals"]
    assert found["strategy"].endswith("my.py:Mine")
    (tmp_path / "my.py").write_text(f"{code}    def score(self, features):\n        return 3\n")
    status, _, err = tradebot("run", "--once", "--strategy", f"{tmp_path}/my.py:Mine")
    assert status == 2
    assert "my.py:Mine': gives scores of shape ()" in err


def test_analyze_gives_31_features_a_signal(tradebot: Run) -> None:
    found = document(tradebot("analyze", "--json", "--set", "strategy.min_score=0"))
    assert {"venue", "now", "strategy", "signals"} <= found.keys()
    assert found["signals"]
    for signal in found["signals"]:
        assert set(signal) == {"symbol", "side", "bar_time", "score", "features"}
        assert len(signal["features"]) == 31


def test_predict_names_the_model_and_gives_probabilities(tradebot: Run) -> None:
    found = document(tradebot("predict", "--json", "--set", "strategy.min_score=0"))
    assert {"path", "sha256", "features", "trained_to"} <= found["model"].keys()
    assert found["model"]["features"] == 31
    assert all(0 <= each["probability"] <= 1 for each in found["predictions"])
    assert found["predictions"]


def test_run_prints_a_document_a_cycle(tradebot: Run) -> None:
    code, out, err = tradebot("run", "--cycles", "3", "--json", "--set", "sim.clock=stepped", *SMALL)
    assert (code, err) == (0, "")
    cycles = [json.loads(line) for line in out.splitlines()]
    assert [each["cycle"] for each in cycles] == [1, 2, 3]
    assert set(cycles[0]) >= {
        "cycle", "started", "now", "total_ms", "stages", "requests", "weight", "symbols",
        "signals", "predictions", "orders", "positions", "skipped", "warnings",
    }  # fmt: skip
    assert list(cycles[0]["stages"]) == ["scan", "fetch", "analyze", "predict", "execute", "monitor"]


def test_tables_go_to_stderr_when_stdout_is_no_terminal(tradebot: Run) -> None:
    code, out, err = tradebot("run", "--once", *SMALL)
    assert (code, out) == (0, "")
    assert "Signals" in err
    assert max(map(len, err.splitlines())) <= 100


def test_positions_are_read_without_a_venue(tradebot: Run) -> None:
    found = document(tradebot("positions", "--json", "--venue", "binance", "--base-url", "http://127.0.0.1:9"))
    assert found["account"] == "binance@127.0.0.1:9-paper"
    assert found["positions"] == []


def test_the_strategies_are_listed_with_their_parameters(tradebot: Run) -> None:
    found = document(tradebot("analyze", "--list", "--json"))
    assert {"trend", "reversion", "momentum"} <= {row["name"] for row in found["strategies"]}


def test_a_second_run_on_one_data_folder_is_refused_for_now(tradebot: Run, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "data").mkdir()
    with FileLock(tmp_path / "data" / "lock"):
        code, _, err = tradebot("run", "--once", *SMALL)
    assert code == 75
    assert "another tradebot run" in err


def test_a_data_folder_that_cannot_be_made_is_named(tradebot: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = tradebot("fetch", "--data-dir", str(tmp_path / "file" / "inside"))
    assert code == 2
    assert "name another with --data-dir" in err
