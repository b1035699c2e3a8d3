"""What `sim serve` refuses before it listens; how it serves is told in test_processes."""

from __future__ import annotations

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
