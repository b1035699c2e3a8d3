from __future__ import annotations

import subprocess
import sys
from typing import Any

from starlette.types import Receive, Scope, Send

from tradebot.sim.later import Later


async def test_an_app_is_made_at_the_first_request_and_once() -> None:
    made: list[str] = []
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    def make() -> Any:
        made.append("app")
        return app

    async def nothing(*_: Any) -> Any:
        return None

    later = Later(make)
    assert made == []
    for path in ("/a", "/b"):
        await later({"path": path}, nothing, nothing)
    assert (made, seen) == (["app"], ["/a", "/b"])


def test_who_trades_spot_does_not_load_the_futures() -> None:
    script = "import sys, tradebot.sim.app; print([name for name in sys.modules if 'sim.futures.' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
