from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from exchanging import NOW, instrument

from tradebot import sim
from tradebot.clock import DAY, RealClock, SteppedClock, parse_time, wall_ms
from tradebot.config import Settings
from tradebot.errors import BadKlines, ConfigError
from tradebot.sim.playback import Playback
from tradebot.sim.prices import Marked, Synthetic

MakeSettings = Callable[..., Settings]
STEP = 300_000
FIRST = 1_515_542_400_000  # 2018-01-10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days of two BTC pairs, and one that begins only then."""
    kept = tmp_path / "klines"
    kept.mkdir()
    for symbol, first in (("ETHBTC", 0), ("LTCBTC", 0), ("XRPETH", 3 * 288)):
        rows = [f"{FIRST + (first + k) * STEP},2,3,1,2,5" for k in range(3 * 288)]
        (kept / f"{symbol}-5m.csv").write_text("\n".join(rows))
    return kept


def test_settings_choose_the_prices(make_settings: MakeSettings, folder: Path) -> None:
    assert isinstance(sim.open_prices(make_settings()), Synthetic)
    assert isinstance(sim.open_prices(make_settings(sim__klines=str(folder))), Playback)
    with pytest.raises(BadKlines, match="no such folder"):
        sim.open_prices(make_settings(sim__klines=str(folder / "none")))


def test_the_exchange_has_the_fee_spread_and_balance_of_the_paper_account(make_settings: MakeSettings) -> None:
    settings = make_settings(paper__fee="0.002", paper__spread="0.01", paper__balance="777", sim__symbols=2)
    venue = sim.open_exchange(settings, sim.sim_clock(settings), None)
    assert (venue.fee, venue.spread) == (Decimal("0.002"), Decimal("0.01"))
    assert list(venue.instruments()) == ["BTCUSDT", "ETHUSDT"]
    assert {asset: held.free for asset, held in venue.balances().items()} == {"USDT": Decimal(777)}


def test_the_starting_balance_is_in_the_coin_of_the_symbols_on_offer(make_settings: MakeSettings, folder: Path) -> None:
    for balance, amount in (("0", 1), ("3", 3)):
        settings = make_settings(sim__klines=str(folder), sim__at="2018-01-11T00:00:00Z", paper__balance=balance)
        venue = sim.open_exchange(settings, sim.sim_clock(settings), None)
        assert {asset: held.free for asset, held in venue.balances().items()} == {"BTC": Decimal(amount)}


def test_a_paper_account_opens_at_prices_from_elsewhere(make_settings: MakeSettings, tmp_path: Path) -> None:
    prices = Marked({"ETHBTC": instrument("ETH", "BTC")})
    venue = sim.paper_exchange(make_settings(), prices, SteppedClock(NOW), tmp_path / "paper.db")
    assert venue.prices is prices
    assert venue.balances()["BTC"].free == 1
    venue.close()


def test_the_clock_is_the_one_that_is_asked_for(make_settings: MakeSettings) -> None:
    begin = {"sim__at": "2025-06-02T12:00:00Z"}
    at = parse_time(begin["sim__at"])
    stepped = sim.sim_clock(make_settings(**begin))
    assert isinstance(stepped, SteppedClock)
    assert (stepped.now(), stepped.drive) == (at, True)
    real = sim.sim_clock(make_settings(**begin, sim__clock="real"))
    scaled = sim.sim_clock(make_settings(**begin, sim__clock="scaled", sim__speed=500))
    assert isinstance(real, RealClock)
    assert isinstance(scaled, RealClock)
    assert (real.speed, scaled.speed) == (1.0, 500)
    assert at <= real.now() < at + 60_000


def test_without_a_start_the_clock_is_the_machines(make_settings: MakeSettings) -> None:
    for kind in ("real", "stepped", "scaled"):
        assert abs(sim.sim_clock(make_settings(sim__at="", sim__clock=kind)).now() - wall_ms()) < 60_000


@pytest.mark.parametrize(("kind", "ahead"), [("stepped", 5), ("stepped", -5), ("scaled", 5), ("real", 5)])
def test_a_clock_that_begins_elsewhere_goes_on_where_its_account_was_seen(
    make_settings: MakeSettings, kind: str, ahead: int
) -> None:
    at = parse_time("2025-06-02T12:00:00Z")
    clock = sim.sim_clock(make_settings(sim__at="2025-06-02T12:00:00Z", sim__clock=kind), at + ahead * DAY)
    assert 0 <= clock.now() - max(at, at + ahead * DAY) < 600_000


def test_a_clock_that_tells_the_present_never_goes_on_from_elsewhere(make_settings: MakeSettings) -> None:
    later = wall_ms() + DAY
    assert sim.sim_clock(make_settings(sim__at="", sim__clock="real"), later).now() < later
    assert sim.sim_clock(make_settings(sim__at="", sim__clock="stepped"), later).now() == later


def test_playback_without_a_start_begins_a_day_before_its_end(make_settings: MakeSettings, folder: Path) -> None:
    settings = make_settings(sim__klines=str(folder), sim__at="")
    assert sim.sim_clock(settings).now() == FIRST + 2 * DAY
    for path in folder.glob("*-5m.csv"):
        path.write_text("\n".join(path.read_text().split("\n")[:12]))
    assert sim.sim_clock(settings).now() == FIRST, "what is shorter than a day is played from its begin"


def test_a_start_before_all_klines_is_refused(make_settings: MakeSettings, folder: Path) -> None:
    settings = make_settings(sim__klines=str(folder), sim__at="2017-01-01")
    with pytest.raises(
        ConfigError, match=r"sim\.at: no klines in .* at 2017-01-01 00:00:00; most lie between 2018-01-10"
    ):
        sim.sim_clock(settings)


def test_different_prices_have_different_names(make_settings: MakeSettings, folder: Path) -> None:
    assert sim.identity(make_settings()) == sim.identity(make_settings(sim__symbols=99)) == "sim"
    assert sim.identity(make_settings(sim__seed=7)) == "sim-7"
    played = sim.identity(make_settings(sim__klines=str(folder)))
    assert played.startswith("sim-klines-")
    assert len(played) == len("sim-klines-") + 8
    moved = shutil.copytree(folder, folder.parent / "moved")
    assert sim.identity(make_settings(sim__klines=str(moved))) == played
    (moved / "LTCBTC-5m.csv").write_text("changed")
    assert sim.identity(make_settings(sim__klines=str(moved))) != played
