"""`tradebot train` from klines to a model on the shelf, and what it says where it cannot."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tradebot import fetching
from tradebot.errors import MarketError, ModelError, TradebotError, UnknownName
from tradebot.market.bars import FIELDS, aggregate
from tradebot.market.chunks import Stretch
from tradebot.market.store import KlineStore
from tradebot.model.predictor import load, resolve
from tradebot.sim.playback import Playback
from tradebot.train import train

from .conftest import MakeSettings

DAYS = 16
FAST = {"training__folds": 2, "training__shuffles": 0, "strategy__min_score": 0.02}
BEGIN = 20_000 * 86_400_000


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kline files of two symbols whose prices follow a rule."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent / "model"))
    from histories import walk

    folder = tmp_path_factory.mktemp("klines")
    for seed, symbol in enumerate(("ABTC", "BBTC")):
        rows = walk(DAYS, seed, rule=0.003).data
        lines = [",".join(FIELDS[:6]), *(f"{int(r[0])}," + ",".join(f"{v:.6f}" for v in r[1:6]) for r in rows.T)]
        (folder / f"{symbol}-5m.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def document(files: Path, place: Path) -> dict[str, Any]:
    """What training on the files says."""
    from tradebot.config import load as settings

    keys = {"data_dir": str(place), **{key.replace("__", "."): value for key, value in FAST.items()}}
    return train(settings(None, {key: ("test", value) for key, value in keys.items()}, {}), folder=files)


class TestFromFiles:
    def test_a_model_that_beats_the_base_rate_becomes_the_current_one(
        self, document: dict[str, Any], place: Path
    ) -> None:
        assert document["doubts"] == []
        assert document["model"]["current"]
        assert str(resolve("", place / "models")) == document["model"]["path"]
        card = load(document["model"]["path"]).card
        assert card.sha256 == document["model"]["sha256"] == document["card"]["sha256"]
        assert card.threshold == document["card"]["threshold"]["threshold"]
        assert card.trained_to == document["model"]["trained_to"]

    def test_all_its_files_stand_together(self, document: dict[str, Any], place: Path) -> None:
        folder = Path(document["model"]["path"]).parent
        assert sorted(each.name for each in folder.iterdir()) == [
            "card.json", "card.md", "model.onnx", "model.ubj", "report.html",
        ]  # fmt: skip
        assert json.loads((folder / "card.json").read_text()) == document["card"]
        assert "<table>" in Path(document["report"]).read_text()
        assert sorted(each.name for each in (place / "models").iterdir()) == ["current", folder.name]

    def test_again_gives_the_same_model(
        self, document: dict[str, Any], files: Path, make_settings: MakeSettings
    ) -> None:
        again = train(make_settings(**FAST), folder=files)
        first, second = (Path(each["model"]["path"]) for each in (document, again))
        assert first.parent.name == second.parent.name
        for name in ("model.ubj", "model.onnx", "card.json", "card.md", "report.html"):
            assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


class TestVerdict:
    def test_a_model_with_doubts_is_kept_but_not_made_current(self, make_settings: MakeSettings) -> None:
        settings = make_settings(sim__symbols=4, **FAST)
        document = train(settings, "2025-05-01", "2025-05-15")
        assert document["doubts"]
        assert not document["model"]["current"]
        assert Path(document["model"]["path"]).exists()
        assert resolve("", settings.models).name == "demo.onnx"
        forced = train(settings, "2025-05-01", "2025-05-15", force=True)
        assert forced["model"]["current"]
        assert str(resolve("", settings.models)) == forced["model"]["path"] == document["model"]["path"]


class TestFromTheStore:
    def test_what_was_fetched_is_learnt_from(self, make_settings: MakeSettings, files: Path) -> None:
        settings = make_settings(venue__name="binance", **FAST)
        prices, stretches = Playback(files), []
        for symbol in prices.instruments():
            fine = prices.klines(symbol, "5m", 0, 10**13, 10**13)
            for interval in ("5m", "15m", "1h"):
                klines = aggregate(fine, interval)
                first, last = int(klines.data[0, 0]), int(klines.data[0, -1])
                stretches.append(Stretch((symbol, interval), klines, first, last))
        with KlineStore(settings.data_path / "klines", "binance") as store:
            store.add(stretches)
        stored, read = train(settings), train(settings, folder=files)
        for key in ("sha256", "pooled", "period", "symbols"):
            assert stored["card"][key] == read["card"][key]
        with pytest.raises(MarketError, match=r"klines of binance reach from 2024-10-04.*tradebot fetch .*--since"):
            train(settings, "2020-01-01")
        with pytest.raises(UnknownName, match=r"binance: unknown symbol 'CBTC'; did you mean"):
            train(make_settings(venue__name="binance", universe__symbols="CBTC", **FAST))

    def test_a_part_that_was_never_fetched_is_warned_of(self, make_settings: MakeSettings, files: Path) -> None:
        settings = make_settings(venue__name="binance", **FAST)
        day = 86_400_000
        whole = ((BEGIN, BEGIN + 16 * day),)
        holed = ((BEGIN, BEGIN + day), (BEGIN + 4 * day, BEGIN + 16 * day))
        with KlineStore(settings.data_path / "klines", "binance") as store:
            for symbol, spans in (("ABTC", holed), ("BBTC", whole)):
                fine = Playback(files).klines(symbol, "5m", 0, 10**13, 10**13)
                for interval, (since, until) in product(("5m", "15m", "1h"), spans):
                    part = aggregate(fine, interval).between(since, until - 1)
                    store.add([Stretch((symbol, interval), part, since, int(part.data[0, -1]))])
        document = train(settings)
        assert [warning.partition(";")[0] for warning in document["warnings"]] == [
            f"ABTC {interval}: 3.0 days of the period are not stored" for interval in ("5m", "15m", "1h")
        ]
        assert "tradebot fetch" in document["warnings"][0]

    def test_an_empty_one_says_how_to_fill_it(self, make_settings: MakeSettings) -> None:
        with pytest.raises(MarketError, match=r"no klines to train on in binance; .*tradebot fetch"):
            train(make_settings(venue__name="binance"))

    async def test_what_a_cycle_fetched_is_too_little(self, make_settings: MakeSettings) -> None:
        await fetching.fetch(make_settings(sim__symbols=2))
        with pytest.raises(ModelError, match="too few signals"):
            await asyncio.to_thread(train, make_settings(sim__symbols=2), "2025-06-02T10:00", None)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "code", "message"),
        [
            ({"strategy__name": "trnd"}, 2, "did you mean 'trend'"),
            ({"universe__symbols": "CBTC"}, 2, "unknown symbol 'CBTC'"),
            ({"universe__quote": "EUR"}, 3, "no klines to train on"),
            ({"universe__exclude": "ABTC,BBTC"}, 3, "no klines to train on"),
            ({"market__intervals": "5m,1h"}, 2, "must be three"),
            ({"strategy__min_score": 1}, 4, "too few signals"),
            ({"trading__max_hold_s": 60}, 2, "max_hold_s = 60: .* at least one bar of 5m"),
            ({"trading__max_hold_s": 10**9}, 4, "0 with a known outcome"),
            ({"trading__take_profit": "9", "trading__stop_loss": "0.00001"}, 4, "change trading.take_profit"),
        ],
    )
    def test_each_is_one_line_with_its_exit_code(
        self, make_settings: MakeSettings, files: Path, changes: dict[str, Any], code: int, message: str
    ) -> None:
        settings = make_settings(**{**FAST, **changes})
        with pytest.raises(TradebotError, match=message) as error:
            train(settings, folder=files)
        assert error.value.exit_code == code
        assert "\n" not in str(error.value)
        assert [each.name for each in settings.models.glob("*")] == []

    def test_a_folder_that_is_not_there_or_empty(self, make_settings: MakeSettings, tmp_path: Path) -> None:
        for folder in (tmp_path / "none", tmp_path):
            with pytest.raises(MarketError, match="kline files"):
                train(make_settings(), folder=folder)

    def test_models_that_cannot_be_written(self, make_settings: MakeSettings, files: Path) -> None:
        settings = make_settings()
        settings.models.write_text("")
        with pytest.raises(ModelError, match=r"models .*--data-dir"):
            train(settings, folder=files)


def test_symbols_without_klines_in_the_period_are_named(make_settings: MakeSettings, files: Path) -> None:
    (folder := files.parent / "more").mkdir(exist_ok=True)
    for path in files.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    lines = (files / "ABTC-5m.csv").read_text().splitlines()
    (folder / "OLDBTC-5m.csv").write_text("\n".join(lines[:300]))
    document = train(make_settings(**FAST), str(BEGIN + 2 * 86_400_000), folder=folder)
    assert document["skipped"] == [{"symbol": "OLDBTC", "reason": "no klines in the period"}]
    assert document["card"]["symbols"] == ["ABTC", "BBTC"]


def test_the_real_klines_give_a_card_whatever_it_says(make_settings: MakeSettings, real_klines: Path) -> None:
    pairs = "ADABTC,DASHBTC,ETCBTC,ETHBTC,LTCBTC,TRXBTC,XMRBTC"
    settings = make_settings(universe__symbols=pairs, training__test=0.3, training__shuffles=2)
    card = train(settings, "2018-01-10", "2018-01-30", real_klines)["card"]
    assert card["test"]["start"] == pytest.approx(1_516_752_000_000, abs=7_200_000)  # the 24th: six days to test
    assert 0.4 < card["pooled"]["auc"] < 0.6
    assert 0.4 < card["shuffled"]["mean_auc"] < 0.6
    assert card["dataset"]["counts"]["kept"] > 3_000
