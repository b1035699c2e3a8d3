"""What several tests share: settings with a data folder of their own, on a venue whose clock stands still."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvicorn
from starlette.types import ASGIApp

from tradebot import sim
from tradebot.config import Settings, load
from tradebot.sim.app import create_app

AT = "2025-06-02T15:00:00Z"
KLINES = Path(__file__).parent.parent.parent / "shared" / "klines"

# No test fails on a time, and these machines are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings by dotted key: a small simulated venue with a stepped clock unless told otherwise."""

    def make(**changes: Any) -> Settings:
        keys = {
            "data_dir": str(tmp_path / "data"),
            "sim.symbols": 6,
            "sim.clock": "stepped",
            "sim.at": AT,
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        return load(None, {key: ("test", value) for key, value in keys.items()}, {})

    return make


@asynccontextmanager
async def served(
    settings: Settings, port: int = 0, wrap: Callable[[ASGIApp], ASGIApp] | None = None, **options: Any
) -> AsyncIterator[str]:
    """The simulated exchange of `settings` on a real loopback socket, in this process; its address.

    `options` are the app's; `wrap` puts another one before it. On the `port` of an earlier one it is the same
    venue, made anew.
    """
    exchange = sim.open_exchange(settings, sim.sim_clock(settings), None)
    app: ASGIApp = create_app(exchange, **options)
    config = uvicorn.Config(wrap(app) if wrap else app, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen()
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        await serving


@pytest.fixture
def real_klines() -> Path:
    """The folder of real klines, where there is one."""
    if not KLINES.is_dir():
        pytest.skip("no real klines beside the checkout")
    return KLINES
