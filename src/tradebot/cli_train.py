"""The options of `train` and `export-onnx`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradebot.ending import ended_by_signal

if TYPE_CHECKING:
    from tradebot.cli import Terminal
    from tradebot.config import Settings

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Begin of the period; default: all there is.", show_default=False),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to before TIME.", show_default=False)]
Klines = Annotated[
    Path | None,
    typer.Option("--klines", metavar="DIR", help="Learn from kline files; default: the store.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Make it the current model whatever speaks against it.")]


def train(
    settings: "Settings",
    terminal: "Terminal",
    *,
    since: Since = None,
    until: Until = None,
    klines: Klines = None,
    force: Force = False,
) -> None:
    """Train a model on the past and say what it is worth.

    Example: tradebot train --klines DIR --since 2018-01-10 --strategy reversion
    """
    from tradebot.report import counted
    from tradebot.train import train as work

    with terminal.progress() as progress, ended_by_signal():
        document = work(settings, since, until, klines, force=force, progress=progress)
    terminal.emit("train", document)
    if document["doubts"]:
        verdict = "made the current model all the same" if force else "NOT made the current model"
        terminal.warn(f"{verdict}: {counted(len(document['doubts']), 'doubt')} against it")  # the document tells them


def export_onnx(
    _: "Settings",
    terminal: "Terminal",
    *,
    source: Annotated[Path, typer.Argument(help="XGBoost model file (.json or .ubj).", show_default=False)],
    target: Annotated[Path | None, typer.Argument(help="ONNX file to write; default: beside the source.")] = None,
    success: Annotated[
        int | None,
        typer.Option(
            "--class", metavar="N", min=0, help="Of several classes, the one that means success; default: the last."
        ),
    ] = None,
) -> None:
    """Convert an XGBoost model to ONNX; check that the two agree.  Example: tradebot export-onnx models/demo.ubj"""
    from tradebot import commands

    terminal.emit("export-onnx", commands.export_onnx(source, target, success))
