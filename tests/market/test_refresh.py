"""What a refresh decides. What it does is in `test_store`."""

from __future__ import annotations

import numpy as np
import pytest

from tradebot.market.bars import Klines
from tradebot.market.refresh import extended, foreign

STEP = 300_000
T0 = 1_516_406_400_000


def bars(*numbers: int, value: float = 1.0) -> Klines:
    data = np.full((10, len(numbers)), value)
    data[0] = [T0 + STEP * number for number in numbers]
    return Klines(data)


def test_a_reply_that_begins_with_the_newest_bar_lengthens_a_series() -> None:
    longer = extended(bars(1, 2), bars(2, 3, 4))
    assert longer is not None
    assert longer.open_time.tolist() == bars(1, 2, 3, 4).open_time.tolist()


@pytest.mark.parametrize(
    "reply", [bars(), bars(3), bars(2, 3, value=2.0), bars(1, 2)], ids=["none", "gap", "other", "old"]
)
def test_a_reply_without_the_same_overlap_does_not(reply: Klines) -> None:
    assert extended(bars(1, 2), reply) is None


@pytest.mark.parametrize(
    ("shared", "revised", "verdict"), [(0, 0, False), (1, 1, False), (10, 5, False), (10, 6, True), (2, 2, True)]
)
def test_a_folder_is_foreign_when_most_shared_bars_differ(shared: int, revised: int, verdict: bool) -> None:
    assert foreign(shared, revised) is verdict
