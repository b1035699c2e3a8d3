"""The claims table: every claim is measured, met or not."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from tradebot import latency
from tradebot.bench.claims import CLAIMS, TARGETS, Measured, Micro, claims, micro, predict_loading, saved
from tradebot.bench.measure import Sample, Workload
from tradebot.look import STAGES
from tradebot.model import predictor

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
    assert [row["name"] for row in rows] == [*CLAIMS, *TARGETS]
    assert {row["met"] for row in rows[len(CLAIMS) :]} == {None}, "nothing was promised for 30 symbols"


FULL = Workload(200, ("5m", "15m", "1h"), 100, 50.0, 50, 2)


def full(ms: float, *, serial_ms: float = 30_000.0, sent: float | None = 200.0) -> Measured:
    """The hour of `--full` with cycles of so many ms, whose CPU time is as long."""
    serial = [taken(0, serial_ms, 600)]
    pipelined = [taken(minute, ms, 200) for minute in range(11)]
    for each in pipelined:
        each.latency = [latency.row("A", 0, 0.0, {} if sent is None else {"sent": sent})]
    return Measured(FULL, serial, pipelined, [1000.0], MICRO)


def idling(ms: float) -> Measured:
    found = full(ms)
    for each in found.pipelined:
        each.cpu_s = each.floor_ms = 0.0
    return found


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("the serial loop's time, cold", full(1000.0), full(1300.0)),
        ("the serial loop's time, at a 5m close", full(400.0), full(600.0)),
        ("cold cycle", full(1300.0), full(1301.0)),
        ("5m close cycle", full(500.0), full(501.0)),
        ("bar close to order sent, p50", full(1.0, sent=400.0), full(1.0, sent=401.0)),
        ("bar close to order sent, p95", full(1.0, sent=600.0), full(1.0, sent=None)),
        ("CPU of a 5m close", full(300.0), full(301.0)),
        ("CPU of a cycle in which nothing closed", full(60.0), full(61.0)),
        ("idle share of a 5m close", full(500.0), idling(500.0)),
    ],
)
def test_a_target_is_met_or_not_by_the_full_workload(name: str, better: Measured, worse: Measured) -> None:
    assert TARGETS[name].judged(better)[2] is True
    assert TARGETS[name].judged(worse)[2] is False


def test_what_was_not_measured_is_none_and_not_met() -> None:
    expected, told, met = TARGETS["bar close to order sent, p50"].judged(full(1.0, sent=None))
    assert (expected, told, met) == ("≤ 0.4 s", "none", False)


def test_every_target_is_tried() -> None:
    marks = test_a_target_is_met_or_not_by_the_full_workload.pytestmark  # type: ignore[attr-defined]
    assert [name for name, *_ in marks[0].args[1]] == list(TARGETS)


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
