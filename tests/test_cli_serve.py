"""What `sim serve` refuses before it listens; how it serves is told in test_processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .test_cli import Run, tradebot

__all__ = ["tradebot"]


@pytest.mark.parametrize(
    ("options", "expected", "said"),
    [
        (["--klines", "nowhere"], 3, "nowhere"),
        (["--at", "yesterday"], 2, "'yesterday' is not a time; write it as 2018-01-20T00:00:00Z"),
        (["--fault", "latncy ms=50"], 2, "did you mean 'latency'?"),
        (["--port", "70000"], 2, "--port"),
    ],
)
def test_what_cannot_be_served_gets_one_line(tradebot: Run, options: list[str], expected: int, said: str) -> None:
    code, out, err = tradebot("sim", "serve", *options)
    assert (code, out, err.count("\n")) == (expected, "", 1)
    assert said in err


@pytest.mark.parametrize(("options", "clock"), [((), "scaled"), (("--set", "sim.clock=stepped"), "stepped")])
def test_a_speed_scales_the_clock_unless_another_one_is_asked_for(
    tmp_path: Path, options: tuple[str, ...], clock: str
) -> None:
    command = [sys.executable, "-m", "tradebot", "sim", "serve", "--port", "0", "--json", "--symbols", "2"]
    command += ["--data-dir", str(tmp_path), "--speed", "60", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        told = json.loads(served.stdout.readline())
        served.terminate()
    assert told["clock"] == clock
