"""The claims table: every claim is measured, met or not."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from tradebot.bench.claims import CLAIMS, Measured, Micro, claims, micro, predict_loading, saved
from tradebot.bench.measure import Sample, Workload
from tradebot.model import predictor
from tradebot.pipeline import STAGES

WORKLOAD = Workload(30, ("5m", "15m", "1h"), 100, 20.0, 50, 2)
MICRO = Micro(50.0, 50.0, 1.0, 1.0, 5.0, 10.0, 1.0, 10.0)


def taken(minute: int, ms: float, requests: int) -> Sample:
    return Sample(minute, ms, dict.fromkeys(STAGES, ms), requests, cpu_s=ms / 1e3)


def measured(serial_ms: float = 100.0, pipelined_ms: float = 10.0, pool_ms: float = 1000.0) -> Measured:
    serial = [taken(0, serial_ms, 90), taken(5, serial_ms, 90)]
    pipelined = [taken(minute, pipelined_ms, 2) for minute in range(11)]
    return Measured(WORKLOAD, serial, pipelined, [pool_ms], MICRO)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_says_what_was_expected_and_what_was_measured(name: str) -> None:
    expected, text, met = CLAIMS[name](measured())
    assert expected
    assert any(letter.isdigit() for letter in text)
    assert isinstance(met, bool)


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("end-to-end latency", measured(), measured(pipelined_ms=90.0)),
        ("network time", measured(), measured(pipelined_ms=90.0)),
        ("pool start-up saved a cycle", measured(), measured(pool_ms=100.0)),
        ("kline requests in an hour of cycles", measured(),
         replace(measured(), pipelined=[taken(minute, 10.0, 60) for minute in range(11)])),
        ("idle share of a cold cycle", measured(), replace(measured(), pipelined=[
            Sample(0, 100.0, dict.fromkeys(STAGES, 1.0), 2, cpu_s=0.01)])),
        ("worker prediction latency", measured(), replace(measured(), micro=replace(MICRO, worker_loading_ms=1.1))),
        ("ML time, 200 signals", measured(), replace(measured(), micro=replace(MICRO, single_ms=2.0))),
        ("ML CPU, 200 signals", measured(), replace(measured(), micro=replace(MICRO, single_cpu=1.1))),
        ("ONNX against XGBoost's own batch, 5,000 rows",
         replace(measured(), micro=replace(MICRO, many_onnx_ms=4.0)), measured()),
    ],
)  # fmt: skip
def test_a_claim_is_met_or_not_by_what_was_measured(name: str, better: Measured, worse: Measured) -> None:
    assert CLAIMS[name](better)[2] is True
    assert CLAIMS[name](worse)[2] is False


def test_the_table_has_a_row_for_every_claim() -> None:
    m = measured()
    rows = claims(m.workload, m.serial, m.pipelined, m.pool_ms, m.micro)
    assert [row["name"] for row in rows] == list(CLAIMS)


def test_nothing_is_saved_of_nothing() -> None:
    assert saved(0.0, 1.0) == 0.0
    assert saved(4.0, 1.0) == 75.0


def test_loading_the_model_in_the_task_changes_no_probability() -> None:
    path = str(predictor.demo_path())
    rows = np.zeros((3, 31), np.float32)
    assert predict_loading(path, rows).tobytes() == predictor.predict_rows(path, rows).tobytes()


async def test_predictions_alone_are_timed_for_real() -> None:
    figures = await micro()
    assert all(value >= 0 for value in astuple(figures))
    assert figures.single_ms > 0
