"""Which mode a command line asks for."""

from __future__ import annotations

from typing import Any

import pytest

from tradebot.cli_choice import mode_of
from tradebot.errors import UsageError

MODES, BELONGS = ("show", "drop"), {"since": ("since", "show"), "yes": ("drop",)}


def chosen(**given: Any) -> str:
    return mode_of({"show": False, "drop": None, "since": None, "yes": False} | given, MODES, BELONGS, "all")


def test_it_is_the_one_that_is_given_or_the_usual_one() -> None:
    assert chosen() == "all"
    assert chosen(show=True, since="2023-01-01") == "show"
    assert chosen(drop="XUSDT", yes=True) == "drop"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"show": True, "drop": "XUSDT"}, "--show and --drop exclude each other; leave one of them out"),
        ({"show": True, "yes": True}, "--yes goes with --drop only"),
        ({"since": "2023-01-01"}, "--since goes alone or with --show only"),
        ({"drop": ""}, "--drop names nothing"),
    ],
)
def test_what_does_not_go_together_is_told(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(**given)
