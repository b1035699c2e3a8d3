"""The options of `run` and `positions`, and what each asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradebot.cli_choice import mode_of
from tradebot.ending import finish
from tradebot.errors import UsageError

if TYPE_CHECKING:
    from tradebot.cli import Terminal
    from tradebot.config import Settings

ACTIONS = ("close", "release")
MODES = ("history", "rebuild", "marks")
BELONGS = {"since": ("history",), "output": ("history",)}

Once = Annotated[bool, typer.Option("--once", help="One cycle, for cron; the same as --cycles 1.")]
Cycles = Annotated[
    int | None, typer.Option("--cycles", metavar="N", min=1, help="End after so many cycles.", show_default=False)
]
Live = Annotated[bool, typer.Option("--live", help="Real money; needs trading.mode = live and an API key too.")]
Profile = Annotated[
    Path | None, typer.Option("--profile", metavar="FILE", help="Write where the time went, for ui.perfetto.dev.",
                              show_default=False)
]  # fmt: skip
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[close|release SYMBOL…|all]", help="Close positions, or release doubtful ones.",
                   show_default=False),
]  # fmt: skip
Marks = Annotated[bool, typer.Option("--marks", help="Ask the venue for prices and show the gains.")]
History = Annotated[bool, typer.Option("--history", help="Show what the positions that are over have brought.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="With --history: only what ended from TIME on.",
                             show_default=False)
]  # fmt: skip
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="With --history: write it to FILE (.csv, .parquet).",
                              show_default=False)
]  # fmt: skip
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Make orders and positions anew from the journal's facts.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; shown where entries are refused.", show_default=False)
]
Flatten = Annotated[bool, typer.Option("--flatten", help="Leave all that is held at market, too.")]
Release = Annotated[bool, typer.Option("--release", help="Let entries out again.")]


def run(
    settings: "Settings",
    terminal: "Terminal",
    *,
    once: Once = False,
    cycles: Cycles = None,
    live: Live = False,
    profile: Profile = None,
) -> None:
    """Trade: one cycle a minute until it is stopped.  Example: tradebot run --once"""
    from tradebot import holding, modes

    if once and cycles not in (None, 1):
        raise UsageError(f"--once is one cycle, --cycles {cycles} is not; leave one of them out")
    credentials = modes.permit(settings, live=live)
    number = 1 if once else cycles
    work = holding.run(
        settings, number, lambda each: terminal.tell("run", each), credentials, terminal.warn,
        conclude=terminal.conclude, profile=profile,
    )  # fmt: skip
    finish(work)


def asked(words: list[str], given: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Which of its modes a command line asks `positions` for, and the symbols; none means all."""
    mode = mode_of(given, MODES, BELONGS, "show")
    if not words:
        return mode, ()
    if mode != "show":
        raise UsageError(f"{words[0]} and --{mode} exclude each other; leave one of them out")
    return words[0], _symbols(*words)


def _symbols(action: str, *names: str) -> tuple[str, ...]:
    """The symbols that an action names; none means all."""
    if action not in ACTIONS:
        raise UsageError(f"positions {action}: say close or release, or nothing to see what is held")
    symbols = tuple(dict.fromkeys(name.upper() for name in names))
    if not symbols:
        raise UsageError(f"positions {action}: name the symbols, or all")
    if "ALL" not in symbols:
        return symbols
    if len(symbols) > 1:
        raise UsageError(f"positions {action}: all is all: name no other symbol beside it")
    return ()


def positions(
    settings: "Settings",
    terminal: "Terminal",
    *,
    words: Words = None,
    marks: Marks = False,
    history: History = False,
    since: Since = None,
    output: Output = None,
    rebuild: Rebuild = False,
    live: Live = False,
) -> None:
    """Show what the account holds, close it, or see its results.  Example: tradebot positions --history

    Others: positions --marks; positions close BTCUSDT; positions close all; positions release BTCUSDT;
    positions --history --since 2026-01-01 --output results.csv
    """
    from tradebot import holding

    given = {"marks": marks, "history": history, "rebuild": rebuild, "since": since, "output": output}
    mode, symbols = asked(words or [], given)
    if mode in ACTIONS:
        return _act(settings, terminal, mode, symbols, live)
    if mode == "history":
        return _history(settings, terminal, since, output)
    if mode == "rebuild":
        return terminal.emit("rebuild", holding.rebuild(settings))
    document = finish(holding.marked(settings)) if mode == "marks" else holding.positions(settings)
    return terminal.emit("positions", document)


def _act(settings: "Settings", terminal: "Terminal", mode: str, symbols: tuple[str, ...], live: bool) -> None:
    from tradebot import holding, modes

    document = finish(holding.act(settings, mode, symbols, modes.permit(settings, live=live)))
    terminal.emit(mode, document)
    if mode == "close":
        holding.require_closed(document)


def _history(settings: "Settings", terminal: "Terminal", since: str | None, output: Path | None) -> None:
    from tradebot import holding, tables
    from tradebot.clock import parse_time

    if output is not None:
        tables.kind_of(output)
    terminal.emit("results", holding.history(settings, parse_time(since) if since else 0, output))


def stop(
    settings: "Settings",
    terminal: "Terminal",
    *,
    flatten: Flatten = False,
    release: Release = False,
    reason: Reason = "",
) -> None:
    """Refuse entries until released; close everything if asked.  Example: tradebot stop --flatten

    Works beside a running loop and without one; it outlives both. Others: tradebot stop --reason "weekend";
    tradebot stop --release
    """
    from tradebot import holding, stopping

    mode = mode_of({"flatten": flatten, "release": release}, ("flatten", "release"), {}, "stop")
    if mode == "release":
        return terminal.emit("stop", stopping.release(settings))
    if mode == "stop":
        return terminal.emit("stop", stopping.stop(settings, reason))
    with terminal.progress() as progress:
        document = finish(stopping.flatten(settings, reason, progress))
    terminal.emit("stop", document)
    holding.require_closed(document)
    return None
