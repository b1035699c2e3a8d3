"""Whether a stored series is whole, on a store in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tradebot.clock import MINUTE
from tradebot.market.bars import Klines
from tradebot.market.chunks import Stretch
from tradebot.market.continuity import survey
from tradebot.market.history import BLOCK
from tradebot.market.store import KlineStore

T0 = 1_516_406_400_000
SERIES = ("A", "1m")


def bars(*places: int) -> Klines:
    data = np.ones((10, len(places)))
    data[0] = [T0 + place * MINUTE for place in places]
    return Klines(data)


def at(first: int, last: int) -> tuple[int, int]:
    return T0 + first * MINUTE, T0 + last * MINUTE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KlineStore]:
    with KlineStore(tmp_path, "test") as store:
        yield store


def test_what_the_venue_lacks_is_told_from_what_was_not_fetched(store: KlineStore) -> None:
    store.add([
        Stretch(SERIES, bars(0, 1, 2, 5), *at(0, 6)),
        Stretch(SERIES, bars(20, 21), *at(18, 21)),
    ])  # fmt: skip
    found = survey(store, SERIES, *at(0, 30))
    assert (found.rows, found.first_open, found.last_open) == (6, T0, T0 + 21 * MINUTE)
    assert found.gaps == (at(3, 4), at(6, 6), at(18, 19))
    assert found.missing == (at(7, 17), at(22, 30))


def test_nothing_stored_is_all_missing(store: KlineStore) -> None:
    found = survey(store, SERIES, *at(0, 9))
    assert (found.rows, found.first_open, found.gaps, found.missing) == (0, None, (), (at(0, 9),))


def test_only_the_period_counts(store: KlineStore) -> None:
    store.add([Stretch(SERIES, bars(0, 1, 5, 6), *at(0, 6))])
    found = survey(store, SERIES, *at(1, 5))
    assert (found.rows, found.gaps, found.missing) == (2, (at(2, 4),), ())


def test_holes_are_seen_over_blocks(store: KlineStore) -> None:
    hole = range(BLOCK - 3, BLOCK + 5)
    store.add([Stretch(SERIES, bars(*(n for n in range(BLOCK + 20) if n not in hole)), *at(0, BLOCK + 19))])
    found = survey(store, SERIES, *at(0, BLOCK + 19))
    assert found.gaps == (at(BLOCK - 3, BLOCK + 4),)
    assert found.rows == BLOCK + 20 - 8
