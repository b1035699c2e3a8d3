"""The command line as its users meet it: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
LOUD = """from dataclasses import dataclass

@dataclass(frozen=True)
class Loud:
    local = False
    def score(self, features):
        print("loud")
        return features["rsi_7_5m"] * 0
"""


def test_without_a_command_it_shows_its_help(tradebot: Run) -> None:
    code, out, err = tradebot()
    assert (code, err) == (0, "")
    assert "Commands:" in out


def test_it_tells_its_version(tradebot: Run) -> None:
    from tradebot import __version__

    assert tradebot("--version") == (0, f"tradebot {__version__}\n", "")


@pytest.mark.parametrize(
    "command",
    ["fetch", "analyze", "predict", "train", "run", "positions", "stop", "export-onnx", "bench", "sim serve"],
)
def test_every_command_has_help_with_an_example(tradebot: Run, command: str) -> None:
    code, out, _ = tradebot(*command.split(), "--help")
    assert code == 0
    assert "Example: tradebot" in " ".join(out.split())
    assert "--json" in out


def test_the_list_of_commands_tells_each_of_them_to_its_end(tradebot: Run) -> None:
    assert "..." not in tradebot("--help")[1].partition("Commands:")[2]


WRONG = [
    (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'?"),
    (["run", "--onec"], 2, "No such option: --onec (Possible options: "),
    (["run", "--once", "--cycles", "3"], 2, "--once is one cycle, --cycles 3 is not"),
    (["analyze", "--explain"], 2, "Option '--explain' requires an argument; see `tradebot analyze --help`"),
    (["sim", "serve", "--at"], 2, "requires an argument; see `tradebot sim serve --help`"),
    (["--config"], 2, "; see `tradebot --help`"),
    (["analyze", "--explain", ""], 2, "symbol '' is not in the universe"),
    (
        ["fetch", "--since", "2018"],
        2,
        "'2018' is not a time in milliseconds between 1973 and 2286; write it as 2018-01-20",
    ),
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
]


@pytest.mark.parametrize(("arguments", "expected", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_bad_input_gets_one_line_and_the_right_code(
    tradebot: Run, arguments: list[str], expected: int, said: str
) -> None:
    code, out, err = tradebot(*arguments)
    assert code == expected, err
    assert said in err
    assert (out, err.count("\n"), err.startswith("tradebot: ")) == ("", 1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[venue]\nname = 'binanse'", "wrong.toml: venue.name: unknown venue 'binanse'; did you mean 'binance'?"),
        ("[market]\nintervals = ['5m', '15m', '1hh']", "wrong.toml: market.intervals: unknown interval '1hh'; did you"),
        ("[market]\nintervals = ['5m', '1h']", "wrong.toml: market.intervals: 5m,1h: must be three intervals"),
        ("[strategy]\nname = 'trand'", "wrong.toml: strategy.name: unknown strategy 'trand'; did you mean 'trend'?"),
        ("[strategy.parameters]\nstrenth = 2", "wrong.toml: strategy.parameters: strategy 'trend' has no parameter"),
    ],
)
def test_a_wrong_name_in_the_configuration_file_is_told_with_file_and_key(
    tradebot: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.toml").write_text(text)
    code, _, err = tradebot("analyze", "--config", "wrong.toml")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


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


def test_what_a_strategy_prints_does_not_come_between_the_documents(tradebot: Run, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    code, out, err = tradebot("analyze", "--json", "--strategy", "loud.py:Loud", *SMALL)
    assert code == 0
    assert json.loads(out)["signals"] == []
    assert "loud" in err.splitlines()


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


PROCESS = """
import atexit, gc, os, sys
from tradebot.cli import main
def told():
    threads = os.listdir("/proc/self/task") if sys.platform == "linux" else [0]
    print("numpy" in sys.modules, len(threads), gc.get_freeze_count() > 0, file=sys.stderr)
atexit.register(told)
main(sys.argv[1:])
"""


def test_a_process_starts_no_threads_for_large_matrices_and_does_not_tidy_up_before_it_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, "fetch", "--status", "--json", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.split() == ["True", "1", "True"]


def test_what_a_pipe_does_not_take_at_once_is_kept_also_where_python_has_no_buffers(tmp_path: Path) -> None:
    program = "import atexit, sys\nfrom tradebot.cli import main\n"
    program += "atexit.register(lambda: print(type(sys.stdout.buffer).__name__))\nmain(['--version'])"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "BufferedWriter"
