"""`tradebot train` on the command line: its verdict, its progress, and how it ends when it is asked to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradebot.cli import main

SHORT = ["--since", "2025-05-01", "--until", "2025-05-15"]
QUICK = ["--set", "sim.symbols=4", "--set", "training.folds=2", "--set", "strategy.min_score=0.02"]


def arguments(folder: Path, *more: str) -> list[str]:
    return ["train", "--data-dir", str(folder), *SHORT, *QUICK, *more]


def test_a_model_that_should_not_trade_says_so_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments(tmp_path, "--json", "--set", "training.shuffles=0"))
    printed = capsys.readouterr()
    assert end.value.code == 0
    doubts = json.loads(printed.out)["doubts"]
    assert doubts
    assert printed.err.startswith(f"tradebot: NOT made the current model: {len(doubts)} doubt")
    assert not (tmp_path / "models" / "current").exists()


def test_its_doubts_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, "--set", "training.shuffles=0"))
    assert capsys.readouterr().err.count("does not beat the base rate: out of time") == 1


def test_a_forced_one_says_that_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, "--force", "--set", "training.shuffles=0"))
    printed = capsys.readouterr()
    assert "tradebot: made the current model all the same: " in printed.err
    assert "is the current model" in printed.err
    assert (tmp_path / "models" / "current").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals, code: int) -> None:
    forever = arguments(tmp_path, "--json", "--set", "training.shuffles=1000")
    process = subprocess.Popen([sys.executable, "-m", "tradebot", *forever], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("models/.new-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "")
    assert list((tmp_path / "models").iterdir()) == []
