"""What `analyze` and `predict` show, write and refuse."""

from __future__ import annotations

from pathlib import Path

from .test_cli import Run, document, tradebot

__all__ = ["tradebot"]


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


def test_the_strategies_are_listed_with_their_parameters(tradebot: Run) -> None:
    found = document(tradebot("analyze", "--list", "--json"))
    assert {"trend", "reversion", "momentum"} <= {row["name"] for row in found["strategies"]}
