"""The options of `analyze` and `predict`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradebot.ending import finish
from tradebot.errors import UsageError

if TYPE_CHECKING:
    from tradebot.cli import Terminal
    from tradebot.config import Settings

List = Annotated[bool, typer.Option("--list", help="Show the strategies and end.")]
Explain = Annotated[
    str | None,
    typer.Option("--explain", metavar="SYMBOL", help="Why a symbol has a signal or none.", show_default=False),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write all features to FILE (.csv, .parquet).", show_default=False),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="FILE", help="Rows of features from FILE (.csv, .parquet; - is stdin).", show_default=False
    ),
]
Predicted = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write the rows with their probability.", show_default=False),
]


def analyze(
    settings: "Settings",
    terminal: "Terminal",
    *,
    show_list: List = False,
    explain: Explain = None,
    output: Output = None,
) -> None:
    """Show the strategy's signals on the newest closed bars.  Example: tradebot analyze --explain BTCUSDT"""
    from tradebot import commands

    if show_list:
        return terminal.emit("strategies", commands.strategies(settings))
    if explain is not None and output:
        raise UsageError("--explain is about one symbol, --output about all; leave one of them out")
    with terminal.progress() as progress:
        if explain is not None:
            kind, work = "explain", commands.explain(settings, explain, progress)
        else:
            kind, work = "analyze", commands.analyze(settings, output, progress)
        document = finish(work)
    terminal.emit(kind, document)
    return None


def predict(settings: "Settings", terminal: "Terminal", *, source: Source = None, output: Predicted = None) -> None:
    """Give each signal, or each row of a table, its probability.  Example: tradebot predict --input features.csv"""
    from tradebot import commands

    if output and not source:
        raise UsageError("--output belongs to --input; without it, use --json")
    if source:
        file = sys.stdin.buffer if source == "-" else None
        name = "standard input" if source == "-" else source
        return terminal.emit("predict", finish(commands.predict_table(settings, name, file, output)))
    with terminal.progress() as progress:
        document = finish(commands.predict(settings, progress))
    terminal.emit("predict", document)
    return None
