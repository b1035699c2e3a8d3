"""The options of `fetch` and what each asks for. Most exclude each other."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradebot.cli_choice import mode_of
from tradebot.ending import Ended, ended_by_signal, finish
from tradebot.errors import BadKlines, MarketError, UsageError

if TYPE_CHECKING:
    from tradebot.cli import Terminal
    from tradebot.config import Settings
    from tradebot.documents import Document
    from tradebot.fetching import Show

MODES = ("watch", "status", "verify", "prune", "drop", "export", "import")
# Options that only some modes take; "since" is the mode of --since without any other.
BELONGS = {
    "since": ("since", "verify", "export"), "until": ("since", "verify", "export", "prune"),
    "format": ("export",), "repair": ("verify",), "yes": ("prune", "drop"),
}  # fmt: skip

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Fetch history from TIME on, as 2023-01-01.", show_default=False),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Up to before TIME; default: now.", show_default=False)
]
Watch = Annotated[bool, typer.Option("--watch", help="Keep the store warm until Ctrl-C.")]
Status = Annotated[bool, typer.Option("--status", help="Show what is stored; asks no venue.")]
Verify = Annotated[bool, typer.Option("--verify", help="Compare with the venue: a sample, or all since/until.")]
Repair = Annotated[bool, typer.Option("--repair", help="With --verify: take over the venue's klines.")]
Export = Annotated[
    str | None,
    typer.Option("--export", metavar="PATH", help="Write files to a folder; one series to a file.", show_default=False),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="csv|parquet", help="Of what --export writes; default csv.", show_default=False),
]
Import = Annotated[
    str | None,
    typer.Option("--import", metavar="PATH", help="Store kline files, the venue's archive too.", show_default=False),
]
Prune = Annotated[bool, typer.Option("--prune", help="Drop symbols outside the universe, or bars before --until.")]
Drop = Annotated[
    str | None, typer.Option("--drop", metavar="SYMBOLS", help="Drop these symbols.", show_default=False)
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", help="With --prune and --drop: do it; else they only say it.")]


@dataclass(frozen=True)
class Asked:
    """What a command line asks of `fetch`, checked; times are UTC ms."""

    mode: str
    since: int | None
    until: int | None
    suffix: str | None
    path: Path | None
    symbols: frozenset[str]
    repair: bool
    yes: bool


def asked(given: Mapping[str, Any]) -> Asked:
    """What the options, all of them by name, ask for; `UsageError` for what does not go together."""
    mode = mode_of(given, MODES, BELONGS, "since" if given["since"] else "refresh")
    if given["format"] not in (None, "csv", "parquet"):
        raise UsageError(f"--format {given['format']}: write csv or parquet")
    since, until = _period(given["since"], given["until"])
    names = (given["drop"] or "").upper().replace("/", "-").split(",")
    symbols = frozenset(name.strip() for name in names if name.strip())
    path = given["export"] or given["import"]
    return Asked(
        mode, since, until, given["format"], Path(path) if path else None, symbols, given["repair"], given["yes"]
    )


def _period(first: str | None, last: str | None) -> tuple[int | None, int | None]:
    from tradebot.clock import parse_time

    since, until = (parse_time(text) if text else None for text in (first, last))
    if since and until and since >= until:
        raise UsageError(f"--since {first} is not before --until {last}")
    return since, until


@contextlib.contextmanager
def _followed(terminal: "Terminal") -> Iterator["Show"]:
    """How far a long job is, where somebody looks."""
    if not terminal.watched:
        yield lambda _: None
        return
    from tradebot.fetch_report import history_bar

    with history_bar() as show:
        yield show


def _verified(settings: "Settings", terminal: "Terminal", asked: Asked) -> "Document":
    from tradebot import fetching

    with _followed(terminal) as show:
        return finish(fetching.verify(settings, asked.since, asked.until, show, mend=asked.repair))


def _history(settings: "Settings", terminal: "Terminal", asked: Asked, since: int) -> "Document":
    from tradebot import fetching

    try:
        with _followed(terminal) as show:
            return finish(fetching.history(settings, since, asked.until, show))
    except Ended:
        terminal.warn("stopped; what has come in is stored, and the same command goes on from there")
        raise


def _with_the_store(settings: "Settings", asked: Asked) -> "Document":
    from tradebot import keeping

    gone = asked.symbols
    if asked.mode == "prune" and asked.until is None:
        from tradebot import fetching

        gone = frozenset(keeping.outside(settings, finish(fetching.universe(settings))))
    with ended_by_signal():
        if asked.mode == "status":
            return keeping.status(settings)
        return keeping.prune(settings, gone, asked.until or 0, carry_out=asked.yes)


def _with_files(settings: "Settings", terminal: "Terminal", asked: Asked, path: Path) -> "Document":
    from tradebot import freight

    with ended_by_signal(), terminal.progress() as progress:
        if asked.mode == "import":
            return freight.take(settings, path, progress)
        return freight.export(settings, path, asked.suffix, asked.since, asked.until, progress=progress)


def _told(settings: "Settings", terminal: "Terminal", asked: Asked) -> "Document":
    if asked.since is not None and asked.mode == "since":
        return _history(settings, terminal, asked, asked.since)
    if asked.mode == "verify":
        return _verified(settings, terminal, asked)
    if asked.path is not None:
        return _with_files(settings, terminal, asked, asked.path)
    return _with_the_store(settings, asked)


def _judge(mode: str, document: "Document") -> None:
    """Raise what makes the exit code 3, once the document has told the rest."""
    errors = document.get("errors", [])
    if mode == "import" and errors:
        raise BadKlines(
            f"{errors[0]['error']} ({len(errors)} of {len(errors) + len(document['files'])} files left out)"
        )
    if errors:
        first = errors[0]
        raise MarketError(
            f"{len(errors)} series could not be had whole, {first['symbol']} {first['interval']}: {first['error']}; "
            "the same command goes on where it stopped"
        )
    if document.get("remaining"):
        hint = "" if document["mended"] else "; --repair takes over the venue's klines"
        raise MarketError(f"what is stored still differs from the venue ({document['remaining']:,}){hint}")


def fetch(
    settings: "Settings",
    terminal: "Terminal",
    *,
    since: Since = None,
    until: Until = None,
    watch: Watch = False,
    status: Status = False,
    verify: Verify = False,
    repair: Repair = False,
    export: Export = None,
    suffix: Format = None,
    source: Import = None,
    prune: Prune = False,
    drop: Drop = None,
    yes: Yes = False,
) -> None:
    """Bring the kline store up to date; history, files and checks.

    Example: tradebot fetch --symbols BTCUSDT --intervals 1m,1h --since 2023-01-01

    Others: fetch --status; fetch --export DIR --format parquet; fetch --import DIR;
    fetch --verify --repair; fetch --prune --until 2023-01-01 --yes; fetch --watch
    """
    task = asked({
        "since": since, "until": until, "watch": watch, "status": status, "verify": verify, "repair": repair,
        "export": export, "format": suffix, "import": source, "prune": prune, "drop": drop, "yes": yes,
    })  # fmt: skip
    if task.mode == "refresh":
        return _refresh(settings, terminal)
    if task.mode == "watch":
        return _watch(settings, terminal)
    document = _told(settings, terminal, task)
    terminal.emit({"since": "history", "drop": "prune"}.get(task.mode, task.mode), document)
    return _judge(task.mode, document)


def _refresh(settings: "Settings", terminal: "Terminal") -> None:
    from tradebot import fetching

    with terminal.progress() as progress:
        document = finish(fetching.fetch(settings, progress))
    terminal.emit("fetch", document)


def _watch(settings: "Settings", terminal: "Terminal") -> None:
    from tradebot import fetching

    finish(fetching.watch(settings, lambda document: terminal.tell("watch", document)))
