"""The options of `run` and `positions`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import AT
from tradebot.cli_trade import asked
from tradebot.errors import UsageError

from .test_cli import SMALL, Run, tradebot

__all__ = ["tradebot"]
NOTHING: dict[str, Any] = dict.fromkeys(("marks", "history", "rebuild", "since", "output"))
EAGER = (*SMALL, "--set", "strategy.min_score=0.05", "--set", "model.threshold=0")


@pytest.mark.parametrize(
    ("words", "given", "expected"),
    [
        ([], {}, ("show", ())),
        ([], {"marks": True}, ("marks", ())),
        ([], {"history": True, "since": "2026-01-01"}, ("history", ())),
        (["close", "btcusdt", "BTCUSDT", "ETHUSDT"], {}, ("close", ("BTCUSDT", "ETHUSDT"))),
        (["release", "all"], {}, ("release", ())),
    ],
)
def test_one_thing_is_asked_for(words: list[str], given: dict[str, Any], expected: object) -> None:
    assert asked(words, NOTHING | given) == expected


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["close"], {}, "positions close: name the symbols, or all"),
        (["sell", "BTCUSDT"], {}, "positions sell: say close or release"),
        (["close", "all"], {"history": True}, "close and --history exclude each other"),
        ([], {"marks": True, "rebuild": True}, "--rebuild and --marks exclude each other"),
        ([], {"since": "2026-01-01"}, "--since goes with --history only"),
        (["close", "all"], {"output": "x.csv"}, "--output goes with --history only"),
        (["close", "all", "BTCUSDT"], {}, "all is all: name no other symbol beside it"),
    ],
)
def test_what_does_not_go_together_is_told(words: list[str], given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked(words, NOTHING | given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--live"), "live trading needs an exchange; 'sim' is the built-in one: add --venue binance"),
        (("run", "--live", "--venue", "binance"), 'needs trading.mode = "live" in the configuration and an API key'),
        (("run", "--venue", "binance", "--set", "trading.mode=testnet"), "testnet trading needs an API key"),
        (("positions", "close", "all", "--live"), "live trading needs an exchange"),
        (("positions", "close", "all"), "nothing is held in sim-paper"),
        (("positions", "--history", "--output", "x.txt"), "x.txt: a table is written to a file that ends in"),
        (("positions", "--history", "--since", "soon"), "'soon' is not a time"),
        (("run", "--set", "keys.secret=abc"), "unknown key 'keys.secret'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tradebot: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = tradebot(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "abc" not in err


def test_what_was_bought_is_closed_and_told_as_results(tradebot: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEBOT_SIM__AT", AT)
    assert tradebot("run", "--once", "--json", *EAGER)[0] == 0
    code, out, _ = tradebot("positions", "close", "all", "--json", *SMALL)
    assert code == 0
    closed = {order["symbol"] for order in json.loads(out)["orders"]}
    code, out, _ = tradebot("positions", "--history", "--json")
    history = json.loads(out)
    assert {row["symbol"] for row in history["results"]} == closed
    assert history["totals"][0]["trades"] == len(closed) > 0
    code, out, err = tradebot("positions", "--history")
    assert (code, out) == (0, "")
    assert "profit factor" in err
