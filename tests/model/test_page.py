"""The report is one HTML file that needs nothing else."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from tradebot.model.page import page

Card = dict[str, Any]


def test_it_holds_the_cards_tables_as_html(card: Card) -> None:
    text = page(card)
    assert text.startswith("<!doctype html>")
    assert text.count("<table>") == 4
    assert f"{card['pooled']['auc']:.3f}</td>" in text
    assert "<h2>Calibration</h2>" in text


def test_it_loads_nothing_from_elsewhere(card: Card) -> None:
    loads = re.findall(r"""(?:src|href)=["'](?!#)([^"']*)|url\((?!#)([^)]*)\)|<script|@import""", page(card))
    assert loads == []


def test_what_others_named_is_text(card: Card) -> None:
    assert "<b>" not in page({**card, "source": "files in <b>", "symbols": ["<b>"]})


def test_without_the_charting_library_it_says_how_to_get_it(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "tradebot[report]" in page(card)
    assert "<svg" not in page(card)
