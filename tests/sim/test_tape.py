from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exchanging import NOW, marked
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.sim.playback import Playback
from tradebot.sim.prices import Synthetic
from tradebot.sim.slices import in_steps
from tradebot.sim.tape import COLUMNS, Steps, Tape, Tapes, identity

PRICES = Synthetic(1, 3)
TAPES = Tapes(PRICES)
BEGIN, END = NOW - 20 * MINUTE, NOW
ROW = {name: place for place, name in enumerate(COLUMNS)}


def read(steps: Steps) -> Tape:
    work = in_steps(steps)
    for _ in work.steps:
        pass
    tape: Tape = work.result()
    return tape


def test_a_long_tape_is_read_some_bars_at_a_time() -> None:
    work = in_steps(TAPES.oldest("ETHUSDT", BEGIN, END, 10**9, whole=False))
    assert sum(1 for _ in work.steps) == 2, "of 21 minutes"
    assert work.result().data.tolist() == everything(whole=False).tolist()


def everything(*, whole: bool, end: int = END) -> np.ndarray:
    return read(TAPES.oldest("ETHUSDT", BEGIN, end, 10**9, whole=whole)).data


def test_the_trades_of_a_minute_fit_its_bar() -> None:
    bars = PRICES.exact("ETHUSDT", "1m", BEGIN, END - MINUTE, END).data
    for bar in bars.T[:-1]:
        opened, first, high, low, last, volume, _, trades, taken = bar[:9].tolist()
        data = read(TAPES.oldest("ETHUSDT", opened, opened + MINUTE - 1, 10**6, whole=False)).data
        assert data.shape[1] == trades
        assert data[ROW["amount"]].sum() == volume
        assert data[ROW["amount"]].min() >= 1
        assert low <= data[ROW["price"]].min() <= data[ROW["price"]].max() <= high
        assert data[ROW["price"], 0] == pytest.approx(first, rel=1e-3)
        assert data[ROW["price"], -1] == pytest.approx(last, rel=1e-3)
        bought = data[ROW["amount"]][data[ROW["maker"]] == 0].sum()
        assert bought / volume == pytest.approx(taken / volume, abs=0.35)
        assert data[ROW["id"]].tolist() == [identity(opened) + k for k in range(trades)]


def test_a_trade_has_the_price_that_the_tickers_told_at_its_time() -> None:
    data = everything(whole=False)
    for place in range(0, data.shape[1], 97):
        assert int(PRICES.price("ETHUSDT", int(data[ROW["time"], place])).scaleb(2)) == data[ROW["price"], place]


def test_times_and_numbers_ascend() -> None:
    for whole in (True, False):
        data = everything(whole=whole)
        assert (np.diff(data[ROW["id"]]) > 0).all()
        assert (np.diff(data[ROW["time"]]) >= 0).all()


def test_aggregates_hold_the_trades_between_their_numbers() -> None:
    singles, together = everything(whole=False), everything(whole=True)
    assert together.shape[1] < singles.shape[1]
    assert together[ROW["amount"]].sum() == singles[ROW["amount"]].sum()
    for _, price, amount, first, last, time, maker in together.T[:50].tolist():
        part = singles[:, (singles[ROW["id"]] >= first) & (singles[ROW["id"]] <= last)]
        assert part[ROW["amount"]].sum() == amount
        assert {(price, time, maker)} == set(zip(*part[[1, 5, 6]].tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20 * MINUTE), st.integers(0, 20 * MINUTE), st.integers(1, 400), st.booleans())
def test_any_page_is_the_same_cut_of_the_whole(start: int, length: int, limit: int, whole: bool) -> None:
    data, first = everything(whole=whole), BEGIN + start
    until = min(first + length, END)
    cut = data[:, (data[ROW["time"]] >= first) & (data[ROW["time"]] <= until)]
    assert read(TAPES.oldest("ETHUSDT", first, until, limit, whole=whole)).data.tolist() == cut[:, :limit].tolist()
    newest = read(TAPES.newest("ETHUSDT", until, limit, whole=whole)).data
    upto = data[:, data[ROW["time"]] <= until][:, -limit:]
    assert newest[:, newest[ROW["time"]] >= BEGIN].tolist() == upto.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.booleans())
def test_pages_by_number_follow_each_other(place: int, limit: int, whole: bool) -> None:
    data = everything(whole=whole)
    place %= data.shape[1]
    number = int(data[0, place])
    page = read(TAPES.oldest("ETHUSDT", 0, END, limit, number=number, whole=whole)).data
    assert page.tolist() == data[:, place : place + limit].tolist()


def test_what_is_still_to_come_is_not_told_and_what_was_told_stays() -> None:
    early = everything(whole=False, end=END - 7 * MINUTE - 12_345)
    assert early[ROW["time"], -1] <= END - 7 * MINUTE - 12_345
    assert everything(whole=False)[:, : early.shape[1]].tolist() == early.tolist()


def test_a_source_without_klines_has_no_tape() -> None:
    for tape in (
        read(Tapes(marked()).newest("ETHUSDT", NOW, 5, whole=True)),
        read(Tapes(marked()).oldest("ETHUSDT", 0, NOW, 5, whole=True)),
    ):
        assert len(tape) == 0


@pytest.fixture
def played(tmp_path: Path) -> Playback:
    rows = [
        f"{NOW // MINUTE * MINUTE - DAY + k * 5 * MINUTE},2.0,2.5,1.5,2.2,{'0' if k == 3 else '12.5'}"
        for k in (0, 1, 2, 3, 150)
    ]
    (tmp_path / "ETHBTC-5m.csv").write_text("open_time,open,high,low,close,volume\n" + "\n".join(rows))
    return Playback(tmp_path)


def test_klines_that_count_no_trades_have_a_few_and_holes_are_passed_over(played: Playback) -> None:
    tapes = Tapes(played)
    everything = read(tapes.oldest("ETHBTC", 0, NOW, 1000, whole=False))
    assert everything.data[ROW["amount"]].sum() == 4 * 125
    assert read(tapes.newest("ETHBTC", NOW, 1000, whole=False)).data.tolist() == everything.data.tolist()
    late = read(tapes.oldest("ETHBTC", NOW - DAY + HOUR, NOW, 1, whole=False))
    assert int(late.data[ROW["time"], 0]) >= NOW // MINUTE * MINUTE - DAY + 750 * MINUTE


def test_amounts_beyond_32_bits_add_up(tmp_path: Path) -> None:
    opened = NOW // HOUR * HOUR
    row = f"{opened},40000.00000001,90000.5,1.00000001,50000,40000000000.00000001,{opened + HOUR - 1},1,90000,1,1,0"
    (tmp_path / "BTCUSDT-1h.csv").write_text(row)
    tape = read(Tapes(Playback(tmp_path)).oldest("BTCUSDT", 0, NOW + HOUR, 10**6, whole=False))
    assert isinstance(tape, Tape)
    assert len(tape) == 20_000
    assert sum(tape.data[ROW["amount"]].tolist()) == 40_000_000_000 * 10**8 + 1
    assert (tape.data[ROW["price"]] >= 10**8 + 1).all()
