"""The serial loop does the same work as the pipeline, only slower."""

from __future__ import annotations

from tests.conftest import MakeSettings
from tradebot.analysis.pool import WorkerPool
from tradebot.bench.serial import Serial
from tradebot.model import predictor
from tradebot.pipeline import Pipeline
from tradebot.session import open_session
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal


async def test_it_decides_what_the_pipeline_decides_and_asks_for_everything_again(make_settings: MakeSettings) -> None:
    settings = make_settings(sim__symbols=3, strategy__min_score=0.0)
    async with open_session(settings, trading=True) as session:
        with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
            assert session.broker is not None
            desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", session.account)
            pipeline = Pipeline(session, pool)
            look = await pipeline.predict(await pipeline.look())
            serial = Serial(session, desk, predictor.demo_path().with_suffix(".ubj"), look.threshold)
            first = await serial.cycle(1)
            before = session.feed.requests
            await serial.cycle(2)
            assert session.feed.requests - before >= 9
    assert first.look is not None
    assert first.look.signals
    assert [signal.symbol for signal in first.look.signals] == [signal.symbol for signal in look.signals]
    for one, two in zip(first.look.predictions, look.predictions, strict=True):
        assert abs(one.probability - two.probability) < 1e-6
    assert len(serial.pool_ms) == 2
