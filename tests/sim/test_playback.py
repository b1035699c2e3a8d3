from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tradebot.clock import DAY, HOUR, MINUTE, parse_time
from tradebot.errors import BadKlines, MarketError
from tradebot.market.bars import aggregate
from tradebot.sim.playback import Playback
from tradebot.sim.replies import kline_rows

HEADER = "open_time,open,high,low,close,volume"
START = 1_515_560_400_000  # 2018-01-10 05:00
STEP = 5 * MINUTE
LATE = START + 365 * DAY


def line(place: int, price: str = "2.00", volume: str = "10.0") -> str:
    high, low = (f"{Decimal(price) + Decimal(change):f}" for change in ("0.50", "-0.50"))
    return f"{START + place * STEP},{price},{high},{low},{price},{volume}"


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("\n".join((HEADER, *lines)) + "\n")


@pytest.fixture
def played(tmp_path: Path) -> Playback:
    """ETHBTC for two hours from START with holes, LTCUSDT beginning an hour later."""
    write(tmp_path, "ETHBTC-5m.csv", *[line(k, f"2.{k:02}") for k in range(24) if k not in (3, 4, 13)])
    write(tmp_path, "LTCUSDT-5m.csv", *[line(k, "90.00", "3.5") for k in range(12, 30)])
    (tmp_path / "README.md").write_text("not klines")
    (tmp_path / "notes.csv").write_text("neither")
    return Playback(tmp_path)


def test_the_symbols_have_rules_that_fit_their_data(played: Playback) -> None:
    eth, ltc = played.instruments().values()
    assert (eth.symbol, eth.base, eth.quote, eth.tick, eth.step) == (
        "ETHBTC",
        "ETH",
        "BTC",
        Decimal("0.01"),
        Decimal(1),
    )
    assert (ltc.base, ltc.quote, ltc.step) == ("LTC", "USDT", Decimal("0.1"))
    assert (eth.min_notional, ltc.min_notional) == (Decimal("0.0001"), Decimal(5))


@pytest.mark.parametrize(
    ("symbol", "quote"), [("BTCFDUSD", "FDUSD"), ("BTCTUSD", "TUSD"), ("XRPETH", "ETH"), ("USDCUSDT", "USDT")]
)
def test_the_quote_coin_is_found_in_the_symbol(tmp_path: Path, symbol: str, quote: str) -> None:
    write(tmp_path, f"{symbol}-5m.csv", line(0))
    (found,) = Playback(tmp_path).instruments().values()
    assert (found.base + found.quote, found.quote) == (symbol, quote)


def test_holes_stay_holes(played: Playback) -> None:
    times = played.klines("ETHBTC", "5m", 0, LATE, LATE).open_time
    assert [(time - START) // STEP for time in times.tolist()] == [k for k in range(24) if k not in (3, 4, 13)]


def test_coarser_bars_are_made_of_what_there_is(played: Playback) -> None:
    fine = played.klines("ETHBTC", "5m", 0, LATE, LATE)
    for interval in ("15m", "30m", "1h", "1d", "1w", "1M"):
        coarse = played.klines("ETHBTC", interval, 0, LATE, LATE)
        assert coarse.data.tolist() == aggregate(fine, interval).data.tolist()


def test_finer_intervals_than_the_file_are_empty(played: Playback) -> None:
    assert len(played.klines("ETHBTC", "1m", 0, LATE, LATE)) == 0
    assert len(played.klines("ETHBTC", "3m", 0, LATE, LATE)) == 0


def test_the_running_bar_is_partial(played: Playback) -> None:
    now = START + HOUR + 2 * STEP + 1000
    for interval in ("5m", "15m", "1h"):
        running = played.exact("ETHBTC", interval, 0, now, now).data[:, -1]
        assert Decimal(int(running[4])).scaleb(-2) == played.price("ETHBTC", now)
        assert running[0] + STEP > now - 2 * STEP
    whole, part = (played.exact("ETHBTC", "1h", now - HOUR, now, moment) for moment in (LATE, now))
    assert 0 < part.data[5, -1] < whole.data[5, -1]


def test_a_bar_of_which_nothing_was_traded_yet_is_not_there(played: Playback) -> None:
    now = START + 3 * STEP + 1  # the first five minutes of this quarter of an hour are a hole
    assert played.klines("ETHBTC", "15m", 0, now, now).open_time.tolist() == [START]
    now = START + 5 * STEP + 1
    assert played.klines("ETHBTC", "15m", 0, now, now).open_time.tolist() == [START, START + 15 * MINUTE]


def test_the_price_stays_in_holes_and_after_the_end(played: Playback) -> None:
    assert played.price("ETHBTC", START + 4 * STEP) == Decimal("2.02")
    assert played.price("ETHBTC", LATE) == Decimal("2.23")
    assert len(played.klines("ETHBTC", "5m", LATE - DAY, LATE, LATE)) == 0


def test_before_its_first_bar_a_symbol_has_no_price(played: Playback) -> None:
    assert played.listed("LTCUSDT") == START + HOUR
    with pytest.raises(MarketError, match="LTCUSDT has no price yet"):
        played.price("LTCUSDT", START)


def test_the_span_is_where_most_symbols_have_klines(played: Playback, tmp_path: Path) -> None:
    assert played.span() == (START + HOUR, START + 2 * HOUR)
    write(tmp_path, "XRPETH-5m.csv", *[line(k + 10_000) for k in range(3)])
    assert Playback(tmp_path).span() == (START + HOUR, START + 2 * HOUR), "one that stands apart moves nothing"


def test_an_interval_with_a_file_of_its_own_uses_it(tmp_path: Path) -> None:
    write(tmp_path, "ETHBTC-5m.csv", line(0), line(1))
    write(tmp_path, "ETHBTC-1h.csv", f"{START - HOUR},9,9,9,9,1.25", f"{START},8,8,8,8,1")
    played = Playback(tmp_path)
    hours = played.klines("ETHBTC", "1h", 0, LATE, LATE)
    assert hours["close"].tolist() == [9, 8]
    assert played.klines("ETHBTC", "2h", 0, LATE, LATE)["volume"].tolist() == [2.25]
    now = START + STEP + 1
    assert played.klines("ETHBTC", "1h", START, now, now)["open"].tolist() == [2.0], "what runs comes from the finest"
    now = START - 1
    assert played.klines("ETHBTC", "1h", 0, now, now)["open"].tolist() == [9.0]


def test_monthly_archives_follow_each_other(tmp_path: Path) -> None:
    row = "{},2.1,2.3,2.0,2.2,100.5,0,215.075,42,60.25,128.935,0\n"
    for month, places in (("2018-02", (2, 3)), ("2018-01", (0, 1))):
        (tmp_path / f"ETHUSDT-5m-{month}.csv").write_text("".join(row.format(START + k * STEP) for k in places))
    assert len(Playback(tmp_path).klines("ETHUSDT", "5m", 0, LATE, LATE)) == 4
    (tmp_path / "ETHUSDT-5m-2018-03.csv").write_text(row.format(START + STEP))
    with pytest.raises(BadKlines, match="ETHUSDT-5m overlap"):
        Playback(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (None, "", "no kline files"),
        ("notes.txt", "x", "no kline files"),
        ("ETHBTC-7m.csv", HEADER, "unknown interval '7m' in its name; known: "),
        ("ETHBTC-5m.csv", HEADER, "no klines in it"),
        ("ETHBTC-5m.csv", f"{HEADER}\n{line(0)}\n{START + STEP},x", "line 3"),
        ("ETHQQQ-5m.csv", f"{HEADER}\n{line(0)}", "no known quote coin in the symbol ETHQQQ"),
    ],
)
def test_a_folder_that_cannot_be_played_says_why(tmp_path: Path, name: str | None, text: str, problem: str) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadKlines, match=str(tmp_path)) as caught:
        Playback(tmp_path)
    assert problem in str(caught.value)


def test_volumes_that_pass_64_bits_at_the_places_of_another_file_are_refused(tmp_path: Path) -> None:
    hours = [f"{START + k * HOUR},1,1,1,1,9000000000" for k in range(24)]
    write(tmp_path, "ABCUSDT-1h.csv", *hours)
    assert Playback(tmp_path).klines("ABCUSDT", "1d", 0, LATE, LATE)["volume"].sum() == 24 * 9_000_000_000
    write(tmp_path, "ABCUSDT-1m.csv", f"{START},1,1,1,1,0.00000001")
    with pytest.raises(BadKlines, match=r"ABCUSDT-1m, ABCUSDT-1h: the sum of a column of ABCUSDT-1h passes"):
        Playback(tmp_path)


def test_volumes_that_pass_64_bits_over_several_files_are_refused(tmp_path: Path) -> None:
    for month in (1, 2):
        # Two thirds of what may be: one file alone can be played.
        write(tmp_path, f"ABCUSDT-1h-2018-0{month}.csv", f"{START + month * HOUR},1,1,1,1,{3 * 10**18}")
        if month == 1:
            assert Playback(tmp_path).listed("ABCUSDT") == START + HOUR
    with pytest.raises(BadKlines, match="ABCUSDT-1h: the sum of a column of ABCUSDT-1h passes"):
        Playback(tmp_path)


def test_finer_rows_than_the_name_of_their_file_tells_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "LTCUSDT-15m.csv", *[line(k) for k in range(24)])
    with pytest.raises(BadKlines, match=r"LTCUSDT-15m\.csv: a second row of the same 15m bar at 2018-01-10 05:05:00"):
        Playback(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadKlines, match="nowhere: no such folder"):
        Playback(tmp_path / "nowhere")


def test_real_klines_come_out_with_exactly_the_files_digits(real_klines: Path) -> None:
    played = Playback(real_klines)
    assert set(played.instruments()) >= {"ADABTC", "TRXBTC", "XMRBTC", "XRPETH"}
    for symbol, interval in (("TRXBTC", "5m"), ("ETHBTC", "5m"), ("XRPETH", "1m")):
        rows = (real_klines / f"{symbol}-{interval}.csv").read_text().split()[1:]
        sent = kline_rows(played.exact(symbol, interval, 0, LATE * 2, LATE * 2), interval).decode()
        cells = [row.strip("[]").replace('"', "").split(",")[:6] for row in sent.split("],[")]
        assert [",".join(row) for row in cells] == rows


def test_real_coarse_bars_are_exact_aggregates(real_klines: Path) -> None:
    played, now = Playback(real_klines), parse_time("2018-01-20T00:00:00Z")
    fine = played.klines("TRXBTC", "5m", 0, now - 1, now)
    for interval in ("15m", "1h", "1d"):
        assert (
            played.klines("TRXBTC", interval, 0, now - 1, now).data.tolist() == aggregate(fine, interval).data.tolist()
        )


def test_a_folder_may_mix_kinds_of_files_and_seconds_make_every_interval(tmp_path: Path) -> None:
    seconds = [START + k * 1000 for k in range(0, 7200, 7)]
    moving = pa.array([(200 + k % 50) / 100 for k in range(len(seconds))])
    prices = dict.fromkeys(("open", "high", "low", "close"), moving)
    table = pa.table({"open_time": pa.array(seconds), **prices, "volume": pa.array([1.25] * len(seconds))})
    pq.write_table(table, tmp_path / "ETHUSDT-1s.parquet")
    write(tmp_path, "LTCUSDT-1m.csv", *[f"{START + k * MINUTE},90,91,89,90,3.5" for k in range(120)])
    played = Playback(tmp_path)
    fine = played.klines("ETHUSDT", "1s", 0, LATE, LATE)
    assert fine.open_time.tolist() == seconds
    for interval in ("1m", "3m", "5m", "15m", "1h", "4h", "1d"):
        coarse = played.klines("ETHUSDT", interval, 0, LATE, LATE)
        assert coarse.data.tolist() == aggregate(fine, interval).data.tolist()
    assert len(played.klines("LTCUSDT", "1s", 0, LATE, LATE)) == 0
    assert len(played.klines("LTCUSDT", "1h", 0, LATE, LATE)) == 2
