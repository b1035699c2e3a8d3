"""Charts are SVG of the same bytes for the same card, and nothing without the library that draws them."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any
from xml.etree import ElementTree

import pytest

from tradebot.model.charts import CHARTS, charts

Card = dict[str, Any]
drawn = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")


@drawn
def test_each_chart_is_an_svg_that_says_what_it_shows(card: Card) -> None:
    made = charts(card)
    assert list(made) == list(CHARTS)
    for svg in made.values():
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "ret_1_5m" in made["What it looks at"]
    assert "fold 2" in made["Log-loss of the folds"]
    assert "as predicted" in made["Calibration"]


@drawn
def test_the_same_card_gives_the_same_bytes(card: Card) -> None:
    assert charts(card) == charts(card)


@drawn
def test_a_card_without_test_part_is_drawn_too(card: Card) -> None:
    made = charts({**card, "test": None})
    assert "test" not in made["Log-loss of the folds"].replace("text", "")


def test_without_the_library_there_are_none(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert charts(card) == {}
