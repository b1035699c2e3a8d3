"""Documents as tables for people, at most 100 columns wide. Writes to a console, knows no command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal
from typing import IO, Any, Literal, TypeAlias, cast

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from tradebot.clock import format_time
from tradebot.documents import Document

WIDTH = 100
LAST = 20  # columns of a terminal that the last column of a table gets at least, if it wants them
SHOWN = 15  # rows of a table before it is cut with a word of how many more there are
Column: TypeAlias = tuple[str, Callable[[Document], Any]]


def cell(value: Any) -> str:
    """A value as people read it; nothing for what is not there."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def counted(number: int, noun: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short(amount: Any, digits: int = 10) -> str:
    """A decimal string without its trailing zeros, to so many significant digits, or to the hundredth."""
    if amount in (None, ""):
        return ""
    value = Decimal(amount)
    text = format(Context(prec=max(digits, value.adjusted() + 3)).plus(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(amount: Any, form: str = "") -> str:
    """An amount of money: to the hundredth, below 1 to three significant digits; with its sign if `form` is `+`."""
    if amount in (None, ""):
        return ""
    value = Decimal(amount)
    return format(value.quantize(Decimal("0.01")) if abs(value) >= 1 else Context(prec=3).plus(value), f"{form}f")


def _side(values: Sequence[str]) -> Literal["left", "right"]:
    """Numbers stand to the right."""
    return "right" if all(value[0] in "-+.0123456789" for value in values if value) else "left"


def _style(column: str, value: str) -> str:
    """Green for what is bought or gained, red for what is sold or lost."""
    if column in ("side", "gain") and value:
        return "red" if value == "SELL" or value.startswith("-") else "green"
    return ""


class Fitting(Table):
    """A table that is told row by row where a terminal is too narrow for it: a number that is cut is another number."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table; or each row as its first cell, and then what it has by name."""
        cells = [[cast("Text", cell).copy() for cell in column.cells] for column in self.columns]
        if options.max_width >= self._least(cells):
            yield from super().__rich_console__(console, options)
            return
        yield Text(str(self.title), style="bold cyan")
        for first, *others in zip(*cells, strict=True):
            first.stylize("bold")
            named = zip(self.columns[1:], others, strict=True)
            yield Text(" · ").join([first, *(Text(f"{column.header} ") + cell for column, cell in named if cell)])
        if self.caption:
            yield Text(str(self.caption), style="dim")

    def _least(self, cells: Sequence[Sequence[Text]]) -> int:
        """Columns of a terminal that it takes: all of each but the last, which may take several lines."""
        texts = [[str(column.header), *map(str, each)] for column, each in zip(self.columns, cells, strict=True)]
        wide = [max(map(cell_len, each)) for each in texts]
        last = max(min(wide[-1], LAST), *map(cell_len, " ".join(texts[-1]).split()))
        return sum(wide[:-1]) + last + self.padding[1] * (len(wide) - 1)


def table(title: str, rows: Sequence[Document], columns: Sequence[Column], *, shown: int = SHOWN) -> Table:
    """A table of documents; numbers to the right."""
    built = Fitting(
        title=title,
        title_justify="left",
        title_style="bold cyan",
        box=None,
        pad_edge=False,
        padding=(0, 2 if len(columns) < 8 else 1, 0, 0),
    )
    cells = [[cell(pick(row)) for _, pick in columns] for row in rows[:shown]]
    for index, (name, _) in enumerate(columns):
        # Only the last column may take several lines: it is where long reasons stand.
        built.add_column(name, justify=_side([row[index] for row in cells]), no_wrap=index < len(columns) - 1)
    for row in cells:
        built.add_row(*(Text(value, style=_style(name, value)) for (name, _), value in zip(columns, row, strict=True)))
    if len(rows) > shown:
        built.caption, built.caption_justify = f"… and {len(rows) - shown} more (--json shows all)", "left"
    return built


def _time(key: str) -> Callable[[Document], str]:
    return lambda row: format_time(row[key]) if row[key] is not None else ""


def get(key: str) -> Callable[[Document], Any]:
    """What a row has under `key`."""
    return lambda row: row[key]


def _amount(key: str) -> Callable[[Document], str]:
    return lambda row: short(row[key])


def price(key: str) -> Callable[[Document], str]:
    """A price for people: what an average has beyond six digits and the hundredth says nothing."""
    return lambda row: short(row[key], 6)


def gain(key: str) -> Callable[[Document], str]:
    """What was gained or lost, with its sign."""
    return lambda row: money(row[key], "+")


def percent(key: str) -> Callable[[Document], str]:
    """A share as `12.3%`; nothing for what is not there."""
    return lambda row: "" if row[key] is None else f"{row[key]:.1%}"


SERIES: list[Column] = [
    ("symbol", get("symbol")), ("interval", get("interval")), ("rows", get("rows")), ("new", get("new")),
    ("first open", _time("first_open")), ("last open", _time("last_open")), ("gaps", lambda row: len(row["gaps"])),
]  # fmt: skip
SIGNALS: list[Column] = [
    ("symbol", get("symbol")), ("side", get("side")), ("bar", _time("bar_time")), ("score", get("score")),
]  # fmt: skip
PREDICTIONS: list[Column] = [
    ("symbol", get("symbol")), ("side", get("side")), ("bar", _time("bar_time")),
    ("probability", percent("probability")),
]  # fmt: skip
JUDGED: list[Column] = [*SIGNALS, ("probability", percent("probability")), ("what came of it", get("told"))]
ORDERS: list[Column] = [
    ("symbol", get("symbol")), ("side", get("side")), ("why", get("intent")), ("status", get("status")),
    ("at", lambda row: "" if row["type"] == "MARKET" else short(row["stop_price"] or row["price"])),
    ("executed", _amount("executed")), ("average", price("average")), ("fee", lambda row: _fee(row["fee"])),
]  # fmt: skip


def _state(row: Document) -> str:
    """How it stands; of a contract sold short that is told too."""
    if row["side"] != "SELL":
        return str(row["state"])
    return "short" if row["state"] == "open" else f"short {row['state']}"


POSITIONS: list[Column] = [
    ("symbol", get("symbol")), ("state", _state),
    ("quantity", _amount("quantity")), *((name, price(name)) for name in ("entry", "mark", "stop", "target")),
    ("gain", gain("unrealized")),
]  # fmt: skip
SKIPPED: list[Column] = [("symbol", get("symbol")), ("reason", get("reason"))]


def _fee(fee: Any) -> str:
    if isinstance(fee, dict):
        return ", ".join(f"{short(amount)} {asset}" for asset, amount in fee.items())
    return short(fee)


def stage_line(stages: dict[str, float], total_ms: float) -> Text:
    """`ms: scan 1 · fetch 210 · … · total 260`."""
    return Text("ms: " + " · ".join(f"{name} {value:,.0f}" for name, value in {**stages, "total": total_ms}.items()))


def _some(title: str, rows: Sequence[Document], columns: Sequence[Column], none: str = "none") -> Table | Text:
    return table(f"{title} ({len(rows)})", rows, columns) if rows else Text(f"{title}: {none}", style="dim")


def _notes(document: Document) -> Iterable[Table | Text]:
    if document.get("skipped"):
        yield table(f"Skipped ({len(document['skipped'])})", document["skipped"], SKIPPED, shown=8)
    for warning in document.get("warnings", []):
        yield Text(f"warning: {warning}", style="yellow")


def fetch(document: Document) -> Iterable[Table | Text]:
    """The series of `fetch` and what went wrong."""
    yield table(f"Klines of {document['venue']} ({len(document['series'])} series)", document["series"], SERIES)
    rows, new = (sum(each[key] for each in document["series"]) for key in ("rows", "new"))
    yield Text(
        f"{rows:,} rows, {new:,} new, {counted(document['requests'], 'request')} of weight {document['weight']:,} "
        f"in {document['elapsed_ms']:,.0f} ms"
    )
    if document["errors"]:
        yield table(f"Errors ({len(document['errors'])})", document["errors"], [
            ("symbol", get("symbol")), ("interval", get("interval")), ("error", get("error"))], shown=8)  # fmt: skip
    yield from _notes(document)


def analyze(document: Document) -> Iterable[Table | Text]:
    """The signals of `analyze`."""
    yield Text(f"{document['venue']}, {format_time(document['now'])} UTC, strategy {document['strategy']}")
    yield _some("Signals", document["signals"], SIGNALS)
    yield from _notes(document)


def explain(document: Document) -> Iterable[Table | Text]:
    """Why one symbol has a signal or none, and its features among the universe's."""
    yield Text(f"{document['venue']}, {format_time(document['now'])} UTC, strategy {document['strategy']}")
    yield Text(f"{document['symbol']}: {document['reason']}", style="bold")
    columns: list[Column] = [
        ("feature", get("name")), ("value", _figure("value")), ("median", _figure("median")), ("place", _place)
    ]  # fmt: skip
    yield table("Features in the universe", document["features"], columns, shown=len(document["features"]))


def _figure(key: str) -> Callable[[Document], str]:
    return lambda row: "" if row[key] is None else f"{row[key]:+.3f}"


def _place(row: Document) -> str:
    """A scale from the least to the greatest of the universe, with the symbol on it."""
    if row["rank"] is None:
        return ""
    slot = round(row["rank"] * 20)
    return f"{'─' * slot}●{'─' * (20 - slot)} {row['rank']:4.0%}"


def predict(document: Document) -> Iterable[Table | Text]:
    """The predictions of `predict`, of the market's signals or of a table's rows."""
    of_table = "source" in document
    where = document["source"] if of_table else f"{document['venue']}, {format_time(document['now'])} UTC"
    yield Text(f"{where}, model {document['model']['path']}", overflow="ellipsis", no_wrap=True)
    columns = [*PREDICTIONS, ("row", lambda row: row.get("row")), ("value", lambda row: row.get("value"))]
    rows = document["predictions"]
    yield _some("Predictions", rows, [(name, pick) for name, pick in columns if any(pick(row) for row in rows[:SHOWN])])
    yield from _notes(document)


def _judged(document: Document) -> list[Document]:
    """Every signal with its probability and what came of it."""
    chances = {row["symbol"]: row["probability"] for row in document["predictions"]}
    told = {row["symbol"]: row["reason"] for row in document["skipped"]}
    entries = (order for order in document["orders"] if order["intent"] == "enter")  # not the stops that follow them
    told |= {order["symbol"]: f"{order['side']} {order['status']}".lower() for order in entries}
    return [
        {**row, "probability": chances.get(row["symbol"]), "told": told.get(row["symbol"])}
        for row in document["signals"]
    ]


def halted(document: Document) -> Iterable[Text]:
    """That the kill switch is on, who pulled it and why; nothing while it is off."""
    if document.get("halt"):
        yield Text(f"{stopped_by(document['halt'])}: {document['halt']['reason']}", style="bold white on red")
        yield Text("nothing is entered until `tradebot stop --release`", style="bold red")


def stopped_by(halt: Document) -> str:
    """`STOPPED since TIME by WHO`."""
    since = f" since {format_time(halt['since'])} UTC" if halt["since"] else ""
    return f"STOPPED{since} by {halt['who']}"


def run(document: Document) -> Iterable[Table | Text]:
    """One cycle of `run`."""
    yield Text(
        f"Cycle {document['cycle']} · {document['venue']} · {format_time(document['started'])} UTC · "
        f"{counted(document['symbols'], 'symbol')} · {counted(document['requests'], 'request')}",
        style="bold",
    )
    yield from halted(document)
    yield stage_line(document["stages"], document["total_ms"])
    if document["bar"]:
        yield _bar_line(document["bar"])
    if document.get("repeated"):
        yield Text("Signals: as in the cycle before, no bar has closed", style="dim")
    else:
        yield _some("Signals and predictions", _judged(document), JUDGED)
    yield _some("Orders", document["orders"], ORDERS)
    yield _some("Positions", document["positions"], POSITIONS)
    signalled = {row["symbol"] for row in document["signals"]}
    yield from _notes({**document, "skipped": [row for row in document["skipped"] if row["symbol"] not in signalled]})


def _milliseconds(key: str) -> Callable[[Document], str]:
    return lambda row: "" if row[key] is None else f"{row[key]:,.1f}"


SPREAD: list[Column] = [(name, _milliseconds(name)) for name in ("p50", "p95", "max")]


def summary(document: Document) -> Iterable[Table | Text]:
    """What a run came to."""
    counts = (f"{document[each]} {each}" for each in ("missed", "failed", "slow", "orders"))
    yield Text(f"{counted(document['cycles'], 'cycle')}: {', '.join(counts)}", style="bold")
    times = [{"stage": name, **row} for name, row in document["times"].items()]
    yield table("Times, ms", times, [("stage", get("stage")), *SPREAD])
    steps = [{"step": name, **row} for name, row in document["latency"].items() if row["count"]]
    if steps:
        yield table("After the bar's close, ms", steps, [("step", get("step")), ("signals", get("count")), *SPREAD])


def _bar_line(bar: Document) -> Text:
    """Which bar a cycle was about, and what was done about it before."""
    told = f"Bar {format_time(bar['open'])} {bar['interval']}, closed {bar['age_ms'] / 1000:.0f} s before"
    told += " · looked at before" if bar["again"] else ""
    told += f" · acted on before: {', '.join(bar['acted'])}" if bar["acted"] else ""
    return Text(told, style="dim")


def export_onnx(document: Document) -> Iterable[Table | Text]:
    """What was written and how well it agrees."""
    yield Text(f"{document['source']} → {document['onnx']} ({document['features']} features)")
    yield Text(f"parity: {document['rows_checked']:,} rows, largest difference {document['max_abs_diff']:.2e}")
    yield Text(f"sha256 {document['sha256']}")
    yield from (Text(f"note: {note}", style="yellow") for note in document["notes"])


FOLDS: list[Column] = [
    ("part", get("name")), ("signals", lambda row: row["figures"]["signals"]),
    *((name, lambda row, key=key: row["figures"][key])
      for name, key in (("log-loss", "log_loss"), ("base rate's", "base_log_loss"), ("AUC", "auc"))),
    ("succeeded", lambda row: row["figures"]["base_rate"]), ("rounds", get("rounds")),
]  # fmt: skip


def train(document: Document) -> Iterable[Table | Text]:
    """What a trained model is worth, and where it stands."""
    card, model, threshold = document["card"], document["model"], document["card"]["threshold"]
    yield table("Out of time", [*card["folds"], *([card["test"]] if card["test"] else [])], FOLDS, shown=60)
    yield Text(f"threshold {threshold['threshold']:.4f}: {threshold['why']}")
    yield from (Text(f"doubt: {doubt}", style="bold red") for doubt in document["doubts"])
    yield from _notes(document)
    yield Text(f"{model['path']} is {'the current model' if model['current'] else 'kept, and not the current model'}")
    yield Text(f"card and charts: {document['report']}")


def strategies(document: Document) -> Iterable[Table | Text]:
    """The registered strategies with their parameters."""
    columns: list[Column] = [
        ("name", get("name")), ("from", get("from")), ("parameters", get("parameters")), ("kind", get("text"))
    ]  # fmt: skip
    yield table("Strategies", document["strategies"], columns)


def serve(document: Document) -> Iterable[Table | Text]:
    """Where the simulated exchange listens and what it trades."""
    yield Text(
        f"simulated exchange at {document['url']}: {counted(document['symbols'], 'symbol')}, {document['clock']} clock,"
    )
    yield Text(f"venue time {format_time(document['now'])} UTC; end it with Ctrl-C")
    kept = f"kept in {document['state']}" if document["state"] else "forgotten at its end (port 0)"
    yield Text(f"accounts and orders are {kept}", style="dim")
    if document["faults"]:
        yield Text(f"faults: {document['faults']}", style="yellow")
    if not document["loopback"]:
        yield Text("warning: anybody who reaches this address can trade here", style="yellow")


RENDERERS: dict[str, Callable[[Document], Iterable[Table | Text]]] = {
    "fetch": fetch, "analyze": analyze, "predict": predict, "run": run,
    "train": train, "export-onnx": export_onnx, "strategies": strategies, "explain": explain, "serve": serve,
}  # fmt: skip


class Screen(Console):
    """A console whose reader may go, as `head` does: that is for the command to answer, not for rich, which exits."""

    def on_broken_pipe(self) -> None:
        """Hand the `BrokenPipeError` on."""
        raise  # noqa: PLE0704 - rich calls this where it handles the error


def console(out: IO[str]) -> Console:
    """A console at most `WIDTH` wide: as wide as the terminal, or just so wide where there is none."""
    found = Screen(file=out, highlight=False)
    found.width = min(found.width, WIDTH) if found.is_terminal else WIDTH
    return found


def show(out: Console, parts: Iterable[Table | Text]) -> None:
    """Print the parts; a line stays a line where no terminal is: in a log it is looked for by its beginning."""
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, Text) and not out.is_terminal)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr that goes away when the work is done; yields what to call as it goes on."""
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=of)
            bar.update(tasks[stage], completed=done, total=of)

        yield update
