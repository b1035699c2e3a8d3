"""The options of `sim serve`."""

from typing import TYPE_CHECKING, Annotated

import typer

from tradebot.ending import Ended

if TYPE_CHECKING:
    from tradebot.cli import Terminal
    from tradebot.config import Settings
    from tradebot.documents import Document


def serve(
    settings: "Settings",
    terminal: "Terminal",
    *,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="One more fault, as 'latency ms=50'.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8080,
) -> None:
    """Serve the simulated exchange over HTTP.  Example: tradebot sim serve --klines DIR --at 2018-01-20T00:00:00Z"""
    from tradebot import commands

    def emit(document: "Document") -> None:
        terminal.emit("serve", document)

    raise Ended(128 + commands.serve(settings, host, port, emit, fault or ()))
