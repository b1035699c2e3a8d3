"""Loops and commands as processes: beside each other, on one data folder and one account, on a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tradebot.config import SECRETS
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET

from .conftest import AT, MakeSettings, served

Process = subprocess.Popen[str]
Start = Callable[..., Process]
EAGER = ("--set", "strategy.min_score=0.05", "--set", "model.threshold=0")
SMALL = ("--set", "sim.symbols=6")
BEGIN = {"TRADEBOT_SIM__AT": AT}  # the real clock's too: what there is to buy must not depend on when a test is run
LIVE = ("--set", "trading.mode=live", "--set", "run.step=true", "--live")
KEYS = dict(zip(SECRETS, (PAPER_KEY, PAPER_SECRET), strict=True))


FULL = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")


def fill(pid: int) -> None:
    """No file that a process writes may grow from now on: to it, the disk is full. `FULL` begins one like that."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program; its data folder is named, its environment holds the keys that are given.

    With `full` its files cannot grow.
    """
    started: list[Process] = []

    def run(*arguments: str, folder: str = "data", full: bool = False, **environment: str) -> Process:
        command = [*(FULL if full else ()), sys.executable, "-m", "tradebot", *arguments]
        command += ["--data-dir", str(tmp_path / folder)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env=os.environ | BEGIN | environment,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def line(process: Process) -> dict[str, Any]:
    """The next document that it prints."""
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def done(process: Process) -> tuple[int, Any, str]:
    """Exit code, last document and errors, once it has ended."""
    out, errors = process.communicate(timeout=60)
    return process.returncode, json.loads(out.splitlines()[-1]) if out else None, errors


def venue(start: Start, name: str = "binance") -> tuple[str, ...]:
    """A stepped venue on a socket, and the options that lead there."""
    served = start("sim", "serve", "--port", "0", "--json", "--clock", "stepped", "--at", AT, *SMALL, folder="venue")
    return "--venue", name, "--base-url", str(line(served)["url"])


def test_commands_beside_a_running_loop_read_ask_it_or_are_told_to_come_back(start: Start) -> None:
    loop = start("run", "--json", *SMALL, *EAGER)
    held = {row["symbol"] for row in line(loop)["positions"]}
    assert held
    code, seen, _ = done(start("positions", "--json"))
    assert (code, {row["symbol"] for row in seen["positions"]}) == (0, held)
    first = min(held)
    code, closed, errors = done(start("positions", "close", first, "--json"))
    assert (code, closed["by"]) == (0, "loop"), errors
    sold = [order for order in closed["orders"] if order["status"] == "FILLED"]
    assert [(order["symbol"], order["intent"]) for order in sold] == [(first, "close")]
    code, closed, _ = done(start("positions", "close", "all", "--json"))
    assert {row["state"] for row in closed["positions"]} <= {"dust"}
    code, _, errors = done(start("positions", "close", "NONE", "--json"))
    assert (code, "no position in NONE" in errors) == (2, True)
    code, history, _ = done(start("positions", "--history", "--json"))
    assert (code, {row["symbol"] for row in history["results"]}) == (0, held)
    for refused in (("positions", "--rebuild"), ("run", "--once", *SMALL)):
        assert done(start(*refused))[0] == 75
    assert loop.poll() is None, "the loop goes on"
    loop.terminate()
    assert loop.wait(10) == 143
    code, rebuilt, _ = done(start("positions", "--rebuild", "--json"))
    assert (code, rebuilt["positions"], rebuilt["changed"]) == (0, len(held), 0)


@pytest.mark.parametrize("name", ["binance", "binance-usdm"])
def test_of_two_folders_on_one_account_the_second_leaves_the_firsts_symbols_alone(start: Start, name: str) -> None:
    where = venue(start, name)
    few = ("--set", "trading.max_positions=2")
    code, first, errors = done(
        start("run", "--once", "--json", *where, *LIVE, *EAGER, *few, "--debug", folder="one", **KEYS)
    )
    assert code == 0, errors
    ours = {row["symbol"] for row in first["positions"]}
    assert len(ours) == 2
    code, second, errors = done(start("run", "--once", "--json", *where, *LIVE, *EAGER, folder="two", **KEYS))
    assert code == 0, errors
    assert {row["symbol"] for row in second["external"]} == ours
    reasons = {row["symbol"]: row["reason"] for row in second["skipped"]}
    assert all("another tradebot" in reasons[symbol] for symbol in ours & reasons.keys())
    assert ours & reasons.keys()
    theirs = {order["symbol"] for order in second["orders"]}
    assert theirs
    assert not theirs & ours
    code, seen, _ = done(start("positions", "--json", *where, *LIVE[:2], folder="two"))
    assert {row["symbol"] for row in seen["external"]} == ours
    code, closed, errors = done(start("positions", "close", "all", "--json", *where, *LIVE, folder="one", **KEYS))
    assert code == 0, errors
    assert {order["symbol"] for order in closed["orders"]} == ours


def test_a_closed_account_needs_the_word_live_and_keys_again(start: Start) -> None:
    where = ("--venue", "binance", "--base-url", "http://127.0.0.1:9")
    code, _, errors = done(start("positions", "close", "all", *where, "--set", "trading.mode=live"))
    assert (code, "--live on the command line" in errors, "an API key" in errors) == (2, True, True)
    code, _, errors = done(start("run", "--once", *where, "--live"))
    assert (code, 'trading.mode = "live" in the configuration' in errors, errors.count("\n")) == (2, True, 1)


def taken(url: str) -> dict[str, str]:
    """The orders that the venue has taken, with their states."""
    events = httpx.get(f"{url}/sim/log", trust_env=False).raise_for_status().json()
    return {each["clientOrderId"]: each["status"] for each in events}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no limits for other processes")
def test_on_a_full_disk_nothing_is_sent_stops_stay_and_all_say_so_with_5(start: Start) -> None:
    where = venue(start)
    url = where[-1]
    two = ("--set", "trading.max_positions=2")
    code, first, errors = done(start("run", "--once", "--json", *where, *LIVE, *EAGER, *two, **KEYS))
    assert (code, len(first["positions"])) == (0, 2), errors
    before = taken(url)
    assert list(before.values()).count("NEW") == 4, "a stop and a target each"
    httpx.post(f"{url}/sim/clock", json={"advance": 300_000}, trust_env=False).raise_for_status()
    for command in (("run", "--once", *EAGER), ("positions", "close", "all")):
        code, _, errors = done(start(*command, "--json", *where, *LIVE, full=True, **KEYS))
        assert (code, errors.count("no order is sent without it")) == (5, 1), errors
    code, _, errors = done(start("stop", "--flatten", "--json", *where, *LIVE[:2], full=True, **KEYS))
    assert (code, "the trading is not stopped" in errors) == (5, True), errors
    assert taken(url) == before
    loop = start("run", "--cycles", "8", "--json", *where, *LIVE, *EAGER, "--set", "trading.max_hold_s=420", **KEYS)
    assert len(line(loop)["positions"]) > 2
    entered = taken(url)
    fill(loop.pid)
    code, last, errors = done(loop)
    assert (code, "no order is sent without it" in errors.splitlines()[-1]) == (5, True), errors
    assert any("no order is sent without it" in each for each in last["warnings"])
    assert taken(url) == entered, "what was due stays guarded by what waits at the venue"
    code, closed, errors = done(start("stop", "--flatten", "--json", *where, *LIVE[:2], **KEYS))
    assert (code, {row["state"] for row in closed["positions"]}) == (0, {"dust"}), errors
    names = taken(url).keys()
    code, rebuilt, _ = done(start("positions", "--rebuild", "--json", *where, *LIVE[:2]))
    assert (code, rebuilt["orders"], rebuilt["changed"]) == (0, len(names), 0)


def everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_key_secret_or_signature_is_in_any_output_file_or_list_of_processes(start: Start, tmp_path: Path) -> None:
    where = venue(start)
    url = where[-1]
    keys = tmp_path / "keys.toml"
    keys.write_text(f'key = "{PAPER_KEY}"\nsecret = "{PAPER_SECRET}"\n')
    keys.chmod(0o600)
    by_file = ("--set", f"keys.file={keys}")
    told = []
    faults = [
        {"kind": "html", "path": "*", "rate": 0.1},
        {"kind": "executed-dropped", "path": "order", "method": "POST", "rate": 0.3},
        {"kind": "backend-timeout", "path": "order*", "rate": 0.3},
    ]
    httpx.post(f"{url}/sim/faults", json={"seed": 1, "fault": faults}, trust_env=False).raise_for_status()
    running = start("run", "--cycles", "3", "--json", "--debug", *where, *LIVE, *EAGER, **KEYS)
    if Path("/proc").is_dir():
        command = Path(f"/proc/{running.pid}/cmdline").read_bytes()
        assert PAPER_KEY.encode() not in command
        assert PAPER_SECRET.encode() not in command
    told += running.communicate(timeout=60)
    httpx.post(f"{url}/sim/faults", json={}, trust_env=False).raise_for_status()
    for command in (
        ("positions", "close", "all", *LIVE, *by_file),
        ("run", "--once", *LIVE, *EAGER, *by_file),
        ("positions", "--history"),
        ("run", "--once", *LIVE, *by_file, "--set", "keys.kind=ed25519"),
        ("run", "--once", "--live", *by_file),
        ("run", "--once", *LIVE, *by_file, "--base-url", "http://127.0.0.1:9"),
    ):
        told += start(*command, "--json", "--debug", *where).communicate(timeout=60)
    keys.unlink()
    text = "\n".join(told).encode() + everything(tmp_path / "data")
    assert b"DEBUG" in text
    assert b"orders" in text
    assert PAPER_KEY.encode() not in text
    assert PAPER_SECRET.encode() not in text
    assert not re.search(rb"signature=[^\xe2]", text)


class Overheard:
    """An app that notes the signatures that it is sent, and sends every so many requests back as they came."""

    every = 6

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.signatures: set[bytes] = set()
        self._signed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query: bytes = scope["query_string"]
        if found := re.findall(rb"signature=([^&]+)", query):
            self.signatures |= {found[0], unquote_to_bytes(found[0])}
            self._signed += 1
            if self.every and self._signed % self.every == 0:
                of = dict(scope["headers"])[b"x-mbx-apikey"].decode()
                said = {"code": -1000, "msg": f"{of} cannot say {found[0].decode()} in ?{query.decode()}"}
                await Response(json.dumps(said) if self._signed % 4 else repr(said), 400)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def said(folder: Path, *arguments: str, **environment: str) -> bytes:
    """All that a command prints and where it is listed; the program's folder is `folder / "data"`."""
    command = [sys.executable, "-m", "tradebot", *arguments, "--json", "--debug", "--data-dir", str(folder / "data")]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=os.environ | environment
    )
    listed = set()
    told = asyncio.ensure_future(process.communicate())
    while not told.done():
        await asyncio.wait([told], timeout=0.2)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                listed.add(path.read_bytes())
    return b"\n".join([*await told, *listed])


@pytest.mark.parametrize(("name", "by_file"), [("binance", False), ("binance-usdm", True)])
async def test_of_a_private_key_nothing_is_told_even_where_a_venue_sends_back_what_it_was_sent(
    name: str, by_file: bool, tmp_path: Path, make_settings: MakeSettings
) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    file = tmp_path / "keys.toml"
    file.write_text(f'key = "{PAPER_KEY}"\nsecret = """\n{pem}"""\n')
    file.chmod(0o600)
    keys = {} if by_file else dict(zip(SECRETS, (PAPER_KEY, pem.strip().replace("\n", "\\n")), strict=True))
    heard: list[Overheard] = []

    def overheard(app: ASGIApp) -> ASGIApp:
        heard.append(Overheard(app))
        return heard[0]

    settings = make_settings(sim__symbols=4)
    async with served(settings, wrap=overheard, credentials={PAPER_KEY: public}) as url:
        account = ("--venue", name, "--base-url", url, *LIVE, "--set", "keys.kind=ed25519")
        account += ("--set", f"keys.file={file}") if by_file else ()
        text = await said(tmp_path, "run", "--cycles", "2", *account, *EAGER, "--set", "pool.use=always", **keys)
        assert b"client_id" in text, text
        assert b"cannot say" in text, "the venue's words"
        heard[0].every = 0
        text += await said(tmp_path, "positions", "close", "all", *account, **keys)
        text += await said(tmp_path, "run", "--once", *account, "--set", "keys.kind=hmac", **keys)
        assert b"DEBUG" in text
    file.unlink()
    text += everything(tmp_path / "data")
    lines = {each.encode() for each in pem.split("\n") if each[:1].isalnum()}
    never = {PAPER_KEY.encode(), *lines, *(each[:24] for each in heard[0].signatures)}
    assert len(never) > 10
    assert [each for each in never if each in text] == []
