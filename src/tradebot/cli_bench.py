"""The options of `bench`: what is measured, compared with what, and drawn where."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradebot.ending import finish
from tradebot.errors import Regression, UsageError

if TYPE_CHECKING:
    from tradebot.bench import Bench, Workload
    from tradebot.cli import Terminal
    from tradebot.config import Settings
    from tradebot.documents import Document

MOST = 2000

Symbols = Annotated[
    str,
    typer.Option(
        "--symbols",
        metavar="N[,N]",
        help="Symbols of the universe, default 30; several show the growth.",
        show_default=False,
    ),
]
Bars = Annotated[int, typer.Option("--bars", metavar="N", min=100, max=1000, help="Closed klines of each series.")]
Latency = Annotated[
    float | None,
    typer.Option("--latency", metavar="MS", min=0, help="Delay of every reply, ms; default 20.", show_default=False),
]
Cycles = Annotated[
    int | None,
    typer.Option("--cycles", metavar="N", min=2, max=13, help="Serial cycles; default 5.", show_default=False),
]
Full = Annotated[bool, typer.Option("--full", help="200 symbols at 50 ms, with 100 bars and with 200; takes minutes.")]
Save = Annotated[
    Path | None, typer.Option("--save", metavar="FILE", help="Keep the figures as a baseline.", show_default=False)
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--baseline", metavar="FILE", help="Compare with what --save kept; exit 6 if slower.", show_default=False
    ),
]
Limit = Annotated[
    str | None,
    typer.Option(
        "--max-regression", metavar="SHARE", help="By how much a figure may be worse; default: 10%.", show_default=False
    ),
]
Times = Annotated[bool, typer.Option("--times", help="With --baseline: compare wall times too (same machine only).")]
Picture = Annotated[
    Path | None,
    typer.Option("--picture", metavar="FILE", help="Draw the cycles as .svg or .html.", show_default=False),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile", metavar="FILE", help="Write where the pipeline's time went, for ui.perfetto.dev.",
        show_default=False,
    ),
]  # fmt: skip


def sizes(text: str) -> tuple[int, ...]:
    """`50,200` as numbers, ascending. `UsageError` for anything else."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [0]
    if not 1 <= found[0] <= found[-1] <= MOST:
        raise UsageError(f"--symbols {text}: write it as 50 or 50,200,1000, each from 1 to {MOST}")
    return tuple(found)


def bench(
    settings: "Settings",
    terminal: "Terminal",
    *,
    symbols: Symbols = "",
    bars: Bars = 100,
    latency: Latency = None,
    cycles: Cycles = None,
    full: Full = False,
    picture: Picture = None,
    profile: Profile = None,
    save: Save = None,
    against: Against = None,
    limit: Limit = None,
    times: Times = False,
) -> None:
    """Time the serial loop against the pipeline on this machine.  Example: tradebot bench --symbols 50,200"""
    from tradebot.bench import baseline

    first, *further = sizes(symbols or ("200" if full else "30"))
    workload = _workload(settings, first, bars, latency, cycles, full)
    share = _share(limit, times, against)
    before = baseline.load(against, asdict(workload)) if against else None
    _writable(save, picture)
    found = _measured(settings, terminal, workload, further, profile)
    document = found.document
    if full:
        document["also"] = [_measured(settings, terminal, replace(workload, bars=200, cycles=2), ()).document]
    if before:
        _compare(document, before, share, times, lambda: _measured(settings, terminal, workload, ()).document)
    _kept(found, workload, save, picture)
    terminal.emit("bench", document if terminal.json else document | {"strips": found.strips})
    if document["regressions"]:
        raise Regression(_told(document, f"{against}", share))


def _share(limit: str | None, times: bool, against: Path | None) -> float:
    """By how much a figure may be worse; `UsageError` where there is nothing to compare with."""
    from tradebot.bench import baseline

    share = baseline.share(limit or "10%")
    if not against and (limit or times):
        raise UsageError(f"{'--max-regression' if limit else '--times'} is about what --baseline FILE is compared with")
    return share


def _writable(save: Path | None, picture: Path | None) -> None:
    """`UsageError`, before anything is measured, for a file that is a folder, has none, or cannot be drawn."""
    from tradebot.bench import timeline

    if picture:
        timeline.check(picture)
    for path in (save, picture):
        if path and path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file in it")
        if path and not path.parent.is_dir():
            raise UsageError(f"{path}: no such folder; make it or name another file")


def _kept(found: "Bench", workload: "Workload", save: Path | None, picture: Path | None) -> None:
    """Write what is to be written."""
    from tradebot.bench import baseline, timeline

    if save:
        baseline.save(save, found.document)
    if picture:
        timeline.write(picture, found.strips, _caption(workload))


def _workload(  # noqa: PLR0917
    settings: "Settings", symbols: int, bars: int, latency: float | None, cycles: int | None, full: bool
) -> "Workload":
    """What is not given is as small as shows something, or with `full` as large as the design asks."""
    from tradebot.bench import Workload

    usual = (50.0, 3) if full else (20.0, 5)
    workload = Workload(
        symbols, settings.market.intervals, bars, usual[0] if latency is None else latency,
        settings.venue.connections, cycles or usual[1],
    )  # fmt: skip
    if not workload.serial_fits:
        raise UsageError(
            f"--symbols {symbols}: the serial loop asks for all of them anew each minute, which no venue allows; "
            f"let a smaller size lead, as in --symbols 200,{symbols}"
        )
    return workload


def _compare(
    document: "Document", before: "Document", limit: float, times: bool, again: "Callable[[], Document]"
) -> None:
    """Note what is slower than before, measured again until that is clear of the noise."""
    from tradebot.bench import baseline

    runs = [document]
    while slower := baseline.regressions(before, runs, limit, times=times):
        if len(runs) == baseline.RUNS:
            break
        runs.append(again())
    document["regressions"], document["runs"] = slower, len(runs)


def _measured(
    settings: "Settings", terminal: "Terminal", workload: "Workload", further: "Sequence[int]",
    profile: Path | None = None,
) -> "Bench":  # fmt: skip
    from tradebot.bench import measure

    with terminal.progress() as progress:
        return finish(measure(settings, workload, further, progress, profile))


def _caption(workload: "Workload") -> str:
    return (
        f"{workload.symbols} symbols × {', '.join(workload.intervals)} × {workload.bars} bars, "
        f"{workload.latency_ms:g} ms latency, {workload.connections} connections. Bars are stages, ticks are requests; "
        f"each cycle has an axis of its own, in ms."
    )


def _told(document: "Document", against: str, limit: float) -> str:
    slower = document["regressions"]
    worst = "; ".join(f"{each['name']} {each['before']:g} → {each['now']:g}" for each in slower[:5])
    return f"slower than {against} by more than {limit:.0%} in each of {document['runs']} runs: {worst}"
