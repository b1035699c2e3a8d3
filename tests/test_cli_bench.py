"""The options of bench."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tradebot.cli_bench import sizes
from tradebot.errors import UsageError

from .test_cli import Run, tradebot

__all__ = ["tradebot"]
SMALL = ("--symbols", "3", "--latency", "0", "--cycles", "2")


def test_sizes_are_numbers_in_order_each_once() -> None:
    assert sizes("200,50,200") == (50, 200)


@pytest.mark.parametrize("text", ["x", "0", "-1", "2001", "50,,60", ""])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 50 or 50,200,1000"):
        sizes(text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--symbols", "many"], "--symbols many: write it as"),
        (["--symbols", "601"], "as in --symbols 200,601"),
        (["--picture", "a.png"], "ends in .svg or .html"),
        (["--profile", "none/p.json"], "--profile none/p.json: No such file or directory"),
        (["--baseline", "none.json"], "none.json: No such file or directory; make one with --save"),
        (["--max-regression", "fast"], "--max-regression fast: write it as 10%"),
        (["--max-regression", "5%"], "--max-regression is about what --baseline FILE is compared with"),
        (["--times"], "--times is about what --baseline FILE is compared with"),
        (["--save", "none/base.json"], "none/base.json: no such folder"),
        (["--save", "."], ".: is a folder"),
        (["--picture", "none/cycles.svg"], "none/cycles.svg: no such folder"),
    ],
)
def test_bad_options_are_told_before_anything_is_measured(tradebot: Run, options: list[str], told: str) -> None:
    code, _, err = tradebot("bench", *options)
    assert code == 2
    assert told in err


def test_a_bench_is_kept_drawn_and_compared(tradebot: Run, tmp_path: Path) -> None:
    base, picture, profile = tmp_path / "base.json", tmp_path / "cycles.svg", tmp_path / "profile.json"
    files = ("--save", str(base), "--picture", str(picture), "--profile", str(profile))
    code, out, err = tradebot("bench", *SMALL, "--json", *files)
    assert (code, err) == (0, "")
    names = {event["name"] for event in json.loads(profile.read_text())}
    assert {"fetch 0", "analyze 0", "fetch 60", "klines BTCUSDT 5m"} <= names
    assert json.loads(base.read_text()) == json.loads(out)
    assert picture.read_text().startswith("<svg")
    # As if it had been a hundred times faster and asked for nothing: every run is slower than that.
    quick = json.loads(out)
    for each in quick["kinds"].values():
        each |= {"cpu_s": each["cpu_s"] / 100, "requests": each["requests"] / 100}
    base.write_text(json.dumps(quick))
    code, out, err = tradebot("bench", *SMALL, "--json", "--baseline", str(base), "--max-regression", "50%")
    assert code == 6
    document = json.loads(out)
    assert document["runs"] == 3
    assert {"cold: requests", "idle: CPU ms a symbol"} <= {row["name"] for row in document["regressions"]}
    assert "by more than 50% in each of 3 runs: " in err
