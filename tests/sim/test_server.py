from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tradebot.clock import monotonic_ms
from tradebot.errors import UsageError
from tradebot.sim.server import make_server, serve

PROGRAM = textwrap.dedent(
    """
    import sys
    from decimal import Decimal
    from pathlib import Path
    from tradebot.clock import SteppedClock
    from tradebot.sim.app import create_app
    from tradebot.sim.engine import Exchange
    from tradebot.sim.prices import Synthetic
    from tradebot.sim.server import make_server, serve

    clock = SteppedClock(1_700_000_123_456)
    exchange = Exchange(Synthetic(1, 3), clock, Path(sys.argv[1]), fee=Decimal(0), spread=Decimal(0), start=None)
    app = create_app(exchange, latency_ms=float(sys.argv[2]))
    ended = serve(app, "127.0.0.1", 0, lambda url: print(url, flush=True))
    exchange.close()
    print("ended by", ended, flush=True)
    """
)


@pytest.fixture
def latency_ms() -> int:
    return 0


@pytest.fixture
def process(tmp_path: Path, latency_ms: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "account.db"), str(latency_ms)]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield served
    served.kill()
    served.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_on_a_socket_until_a_signal_ends_it(process: subprocess.Popen[str], number: signal.Signals) -> None:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with httpx.Client(base_url=url) as client:
        assert client.get("/api/v3/time").json() == {"serverTime": 1_700_000_123_456}
        reply = client.get("/api/v3/klines", params={"symbol": "BTCUSDT", "interval": "1h", "limit": 3})
        assert len(reply.json()) == 3
        assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "3"
        assert "server" not in reply.headers
        assert client.post("/sim/clock", json={"advance": 60_000}).json()["now"] == 1_700_000_183_456
        assert client.get("/nosuch").json()["code"] == -5000
    process.send_signal(number)
    out, err = process.communicate(timeout=5)
    assert (out, err, process.returncode) == (f"ended by {number.value}\n", "", 0)


HALF = b"POST /api/v3/order?symbol=BTCUSDT HTTP/1.1\r\nHost: sim\r\nContent-Length: 9\r\n\r\nside="


def test_nobody_waits_for_the_rest_of_a_request_when_it_is_to_end(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    url = httpx.URL(process.stdout.readline().strip())
    with socket.create_connection((url.host, url.port)) as left, socket.create_connection((url.host, url.port)) as half:
        left.sendall(HALF)
        left.close()
        half.sendall(HALF)
        assert httpx.get(url.join("/api/v3/ping")).json() == {}
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=5)
        assert half.recv(1) == b""
    assert (out, err, process.returncode) == (f"ended by {signal.SIGTERM.value}\n", "", 0)


@pytest.mark.parametrize("latency_ms", [300])
def test_replies_that_are_under_way_when_it_is_to_end_arrive_and_none_is_early(
    process: subprocess.Popen[str], latency_ms: int
) -> None:
    assert process.stdout is not None
    url = httpx.URL(process.stdout.readline().strip())
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(socket.create_connection((url.host, url.port))) for _ in range(5)]
        begun = monotonic_ms()
        for client in clients:
            client.sendall(b"GET /api/v3/time HTTP/1.1\r\nHost: sim\r\n\r\n")
        assert httpx.get(url.join("/sim/clock")).json()["mode"] == "stepped", "by now all of them have come"
        process.send_signal(signal.SIGTERM)
        for client in clients:
            _, body = client.makefile("rb").read().split(b"\r\n\r\n")
            assert monotonic_ms() - begun >= latency_ms
            assert json.loads(body) == {"serverTime": 1_700_000_123_456}
    out, err = process.communicate(timeout=5)
    assert (out, err, process.returncode) == (f"ended by {signal.SIGTERM.value}\n", "", 0)


def test_connections_outlast_the_pauses_of_who_polls() -> None:
    assert make_server(_nothing, None, os.abort).config.timeout_keep_alive > 60  # type: ignore[arg-type]


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another"
        ):
            serve(_nothing, "127.0.0.1", port, os.abort)  # type: ignore[arg-type]


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 99_999), ("203.0.113.7", 0)])
def test_an_address_that_cannot_be_had_is_one_clear_line(host: str, port: int) -> None:
    with pytest.raises(UsageError, match=f"cannot listen on {host}"):
        serve(_nothing, host, port, os.abort)  # type: ignore[arg-type]


async def _nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("never served")


def test_the_served_exchange_has_the_faults_of_file_and_command_line(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[fault]]\nkind = 'restricted'\npath = 'ping'\n")
    options = ["--port", "0", "--json", "--faults", str(plan), "--fault", "dropped path=time nth=2"]
    command = [sys.executable, "-m", "tradebot", "sim", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        document = json.loads(served.stdout.readline())
        assert document["faults"] == 2
        with httpx.Client(base_url=document["url"]) as client:
            assert client.get("/api/v3/ping").status_code == 451
            assert client.get("/api/v3/time").status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                client.get("/api/v3/time")
            assert [hit["kind"] for hit in client.get("/sim/faults").json()["hits"]] == ["restricted", "dropped"]
            assert client.post("/sim/faults", json={}).status_code == 200
            assert client.get("/api/v3/ping").status_code == 200
        served.send_signal(signal.SIGTERM)
        assert served.wait(5) == 143


@pytest.mark.parametrize(("fault", "message"), [("latncy", "did you mean 'latency'"), ("latency mss=1", "mean 'ms'")])
def test_a_malformed_fault_is_one_line_before_anything_listens(fault: str, message: str) -> None:
    command = [sys.executable, "-m", "tradebot", "sim", "serve", "--port", "0", "--fault", fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
