"""Has anything become slower?"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.bench.baseline import Measure, load, measures, regressions, save, share
from tradebot.errors import UsageError

DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "workload": {"symbols": 30, "intervals": ("5m", "15m", "1h"), "bars": 100, "latency_ms": 20.0, "connections": 50},
    "speedup": 40.0,
    "kinds": {
        "cold": {"serial_ms": 2000.0, "pipelined_ms": 200.0, "requests": 95.0, "cpu_s": 0.15},
        "idle": {"serial_ms": 2000.0, "pipelined_ms": 20.0, "requests": 1.0, "cpu_s": 0.01},
    },
    "pipelined": {"stages": {"fetch": 40.0, "execute": 0.0}},
}


def changed(**values: float) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    document["kinds"]["cold"].update(values)
    return document


def test_nothing_is_slower_than_itself() -> None:
    assert regressions(DOCUMENT, [DOCUMENT], 0.01, times=True) == []


def test_requests_cpu_and_ratios_are_compared_and_named() -> None:
    assert [row["name"] for row in regressions(DOCUMENT, [changed(requests=110.0)], 0.1)] == ["cold: requests"]
    (row,) = regressions(DOCUMENT, [changed(cpu_s=0.18)], 0.1)
    assert row == {"name": "cold: CPU ms a symbol", "before": 5.0, "now": 6.0, "worse": 0.2}
    assert [row["name"] for row in regressions(DOCUMENT, [changed(serial_ms=1500.0)], 0.1)] == ["cold: speedup"]


def test_wall_times_are_compared_only_if_asked() -> None:
    slower = changed(pipelined_ms=300.0, serial_ms=3000.0)
    assert regressions(DOCUMENT, [slower], 0.1) == []
    assert [row["name"] for row in regressions(DOCUMENT, [slower], 0.1, times=True)] == ["cold: wall ms"]


def test_one_run_that_is_as_quick_as_before_clears_a_figure() -> None:
    slow = changed(cpu_s=0.3)
    assert regressions(DOCUMENT, [slow, slow], 0.1)
    assert regressions(DOCUMENT, [slow, DOCUMENT, slow], 0.1) == []


def test_the_worst_stands_first() -> None:
    rows = regressions(DOCUMENT, [changed(cpu_s=0.2, requests=300.0)], 0.1)
    assert [row["name"] for row in rows] == ["cold: requests", "cold: CPU ms a symbol"]


@given(before=st.floats(0.1, 1e4), factor=st.floats(0.2, 5))
def test_a_loss_is_a_share_of_what_was(before: float, factor: float) -> None:
    assert Measure("x", before * factor, "cpu").loss(before) == pytest.approx(factor - 1)
    assert Measure("x", before / factor, "ratio").loss(before) == pytest.approx(factor - 1)


def test_what_was_nothing_and_is_something_is_worse() -> None:
    assert Measure("x", 3.0, "requests").loss(0.0) == 1.0
    assert Measure("x", 0.0, "requests").loss(0.0) == 0.0


def test_a_saved_document_is_read_again(tmp_path: Path) -> None:
    save(tmp_path / "base.json", DOCUMENT)
    found = load(tmp_path / "base.json", DOCUMENT["workload"])
    assert measures(found) == measures(DOCUMENT)
    assert [each.name for each in tmp_path.iterdir()] == ["base.json"]


def test_another_workload_is_not_compared(tmp_path: Path) -> None:
    save(tmp_path / "base.json", DOCUMENT)
    with pytest.raises(UsageError, match=r"was measured with symbols 30, not 200; only like is compared"):
        load(tmp_path / "base.json", {**DOCUMENT["workload"], "symbols": 200})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"workload": {}}', "\x00", "[" * 100_000])
def test_what_is_no_bench_document_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "base.json").write_text(text)
    with pytest.raises(UsageError, match="not a document that `tradebot bench --save` wrote"):
        load(tmp_path / "base.json")


@pytest.mark.parametrize(
    "edited",
    [
        {"schema": 2},
        {"speedup": "40"},
        {"speedup": None},
        {"speedup": -1.0},
        {"speedup": float("nan")},
        {"kinds": []},
        {"kinds": {"cold": {"serial_ms": 1}}},
        {"pipelined": {"stages": {"fetch": [1]}}},
    ],
)
def test_a_document_that_somebody_has_broken_is_refused(tmp_path: Path, edited: dict[str, Any]) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps(DOCUMENT | edited))
    with pytest.raises(UsageError, match=r"base\.json: not a document"):
        load(path)


def test_what_only_one_of_two_documents_knows_is_not_compared() -> None:
    less = copy.deepcopy(DOCUMENT)
    del less["kinds"]["idle"]
    assert regressions(less, [DOCUMENT], 0.1, times=True) == []
    assert regressions(DOCUMENT, [less], 0.1, times=True) == []


def test_a_file_that_is_not_there_or_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory; make one with --save"):
        load(tmp_path / "none.json")
    with pytest.raises(UsageError, match="name another file with --save"):
        save(tmp_path / "none" / "base.json", DOCUMENT)


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.25", 0.25), ("150%", 1.5)])
def test_a_limit_is_a_share(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ten", "-5%", "0", "nan", "10000%"])
def test_a_limit_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write it as 10% or 0\.1"):
        share(text)
