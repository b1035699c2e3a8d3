"""Documents as JSON."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pytest

from tradebot.analysis.strategies import Signal
from tradebot.documents import encode, series_document, signal_document, skipped_document
from tradebot.market.bars import Klines
from tradebot.market.store import Ready
from tradebot.market.venue import Side


def klines(*opens: int) -> Klines:
    data = np.ones((10, len(opens)))
    data[0] = opens
    return Klines(data)


def test_a_nan_is_null_and_a_decimal_a_plain_string() -> None:
    text = encode({"nan": math.nan, "amount": Decimal("1E-8"), "row": np.array([1.5, math.inf])})
    assert json.loads(text) == {"nan": None, "amount": "0.00000001", "row": [1.5, None]}


def test_what_has_no_place_in_a_document_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({"thing": object()})


def test_a_document_is_one_line() -> None:
    assert "\n" not in encode({"a": ["x\ny"]})


def test_a_series_tells_its_range_and_its_gaps() -> None:
    ready = Ready("BTCUSDT", "5m", klines(0, 300_000, 1_200_000), new=1, requests=1)
    assert series_document(ready) == {
        "symbol": "BTCUSDT", "interval": "5m", "rows": 3, "new": 1, "revised": 0,
        "first_open": 0, "last_open": 1_200_000, "gaps": [(600_000, 900_000)], "open": None,
    }  # fmt: skip


def test_an_empty_series_has_no_range() -> None:
    document = series_document(Ready("BTCUSDT", "5m", Klines.empty(), new=0, requests=1))
    assert document["first_open"] is None
    assert document["rows"] == 0


def test_a_signal_carries_its_features_by_name() -> None:
    signal = Signal("BTCUSDT", Side.BUY, 5, 0.5, np.array([1.0, math.nan], np.float32))
    document = signal_document(signal, ["a", "b"])
    assert document["features"] == {"a": 1.0, "b": None}
    assert (document["side"], document["bar_time"], document["score"]) == ("BUY", 5, 0.5)


def test_skipped_symbols_come_in_the_order_of_their_names() -> None:
    assert [row["symbol"] for row in skipped_document({"B": "x", "A": "y"})] == ["A", "B"]
