"""`tradebot stop` beside a running loop and without one, in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import AT, MakeSettings
from tradebot import holding, stopping
from tradebot.documents import Document
from tradebot.errors import TradingError, UsageError
from tradebot.progress import unseen
from tradebot.trading.halt import NAME

SOON_S = 20.0
EAGER = ("--set", "sim.symbols=4", "--set", "strategy.min_score=0.05", "--set", "model.threshold=0")
QUICK = ("--set", "sim.clock=scaled", "--set", "sim.speed=60")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program on a data folder of the test's own."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tradebot", *arguments, "--json", "--data-dir", str(tmp_path)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env=os.environ | {"TRADEBOT_SIM__AT": AT},
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], code: int = 0) -> Any:
    """The one document of a command that ends so."""
    out, problems = process.communicate(timeout=60)
    assert process.returncode == code, problems
    return json.loads(out) if out else problems


def cycle(process: subprocess.Popen[str], holds: Callable[[Document], bool]) -> Document:
    """The first cycle of a loop of which `holds` says so, within some seconds."""
    assert process.stdout is not None
    until = time.monotonic() + SOON_S
    while time.monotonic() < until:
        document: Document = json.loads(process.stdout.readline())
        if holds(document):
            return document
    raise AssertionError("no such cycle")


def open_rows(document: Document) -> list[str]:
    return [row["symbol"] for row in document["positions"] if row["state"] != "dust"]


def test_a_running_loop_refuses_entries_until_they_are_released(start: Callable[..., subprocess.Popen[str]]) -> None:
    assert told(start("stop", "--reason", "weekend"))["halt"]["reason"] == "weekend"
    loop = start("run", *EAGER, *QUICK)
    first = cycle(loop, lambda _: True)
    assert first["halt"]["reason"] == "weekend"
    assert (first["orders"], first["positions"]) == ([], [])
    assert {row["reason"].split(";")[0][-7:] for row in first["skipped"]} == {"weekend"}
    assert told(start("positions"))["halt"]["reason"] == "weekend"
    assert told(start("stop", "--release"))["released"]["reason"] == "weekend"
    assert cycle(loop, lambda document: bool(document["orders"]))["halt"] is None
    assert told(start("stop"))["halt"]["reason"] == "by hand"
    assert cycle(loop, lambda document: document["halt"] is not None)
    assert loop.poll() is None


def test_a_running_loop_leaves_everything_when_it_is_told_to(start: Callable[..., subprocess.Popen[str]]) -> None:
    loop = start("run", *EAGER)
    assert open_rows(cycle(loop, lambda _: True))
    answer = told(start("stop", "--flatten", "--reason", "out"))
    assert open_rows(answer) == []
    assert {order["status"] for order in answer["orders"] if order["intent"] == "close"} == {"FILLED"}
    assert loop.poll() is None, "the loop goes on, without entries"
    assert open_rows(told(start("positions"))) == []


def test_without_a_loop_the_command_leaves_everything_itself_and_later_runs_enter_nothing(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    assert open_rows(told(start("run", "--once", *EAGER)))
    assert open_rows(told(start("stop", "--flatten", *EAGER[:2]))) == []
    again = told(start("run", "--once", *EAGER))
    assert open_rows(again) == []
    assert again["halt"]["flatten"] is True


def test_a_damaged_switch_stops_the_trading_too(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"schema": 1, "rea')
    document = told(start("run", "--once", *EAGER))
    assert document["orders"] == []
    assert document["halt"]["reason"].endswith("is damaged")


async def held(make_settings: MakeSettings, **more: Any) -> Any:
    """Settings of an account that holds something."""
    settings = make_settings(strategy__min_score=0.05, model__threshold=0.0, **more)
    documents: list[Document] = []
    await holding.run(settings, 1, documents.append)
    assert open_rows(documents[0])
    return settings


async def test_what_could_not_be_left_is_named_and_ends_with_5(make_settings: MakeSettings) -> None:
    settings = await held(make_settings)
    faults = settings.data_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "refused"\npath = "order"\nmethod = "POST"\n')
    broken = settings.model_copy(update={"sim": settings.sim.model_copy(update={"faults": str(faults)})})
    seen: list[tuple[str, int, int]] = []
    document = await stopping.flatten(broken, "out", lambda *progress: seen.append(progress), patience_s=0.0)
    left = open_rows(document)
    assert left
    assert seen == [("closing", 0, len(left))]
    with pytest.raises(TradingError, match=f"still held: {left[0]}") as failure:
        holding.require_closed(document)
    assert failure.value.exit_code == 5
    assert open_rows(await stopping.flatten(settings, "out", unseen)) == []


async def test_a_venue_that_does_not_answer_is_told_with_what_is_left(make_settings: MakeSettings) -> None:
    settings = await held(make_settings)
    faults = settings.data_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "refused"\n')
    broken = settings.model_copy(update={
        "sim": settings.sim.model_copy(update={"faults": str(faults)}),
        "venue": settings.venue.model_copy(update={"retries": 0}),
    })  # fmt: skip
    document = await stopping.flatten(broken, "out", unseen, patience_s=0.0)
    assert open_rows(document)
    assert document["warnings"]


async def test_nothing_held_is_nothing_to_ask_the_venue(make_settings: MakeSettings) -> None:
    settings = make_settings(venue__name="binance", venue__base_url="http://127.0.0.1:9")
    document = await stopping.flatten(settings, "out", unseen)
    assert (document["positions"], document["orders"], document["warnings"]) == ([], [], [])
    assert document["halt"]["flatten"] is True


def test_a_reason_stays_until_another_is_given(make_settings: MakeSettings) -> None:
    settings = make_settings()
    assert stopping.stop(settings, "weekend")["halt"]["reason"] == "weekend"
    assert stopping.stop(settings, "")["halt"]["reason"] == "weekend"
    assert stopping.stop(settings, "fire")["halt"]["reason"] == "fire"
    assert stopping.release(settings)["released"]["reason"] == "fire"
    assert stopping.release(settings)["released"] is None


async def test_real_money_is_left_without_being_asked_for_by_name(make_settings: MakeSettings) -> None:
    settings = make_settings(trading__mode="live", venue__name="binance")
    with pytest.raises(UsageError, match="needs an API key") as failure:
        stopping._key(settings)
    assert "--live" not in str(failure.value)
