"""The command line: parse, call, render. The only module that prints.

Nothing is imported here that `--help` does not need; commands import what they use when they run.
"""

import atexit
import contextlib
import gc
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from tradebot import __version__, cli_bench, cli_fetch, cli_look, cli_serve, cli_trade, cli_train
from tradebot.ending import Ended
from tradebot.errors import TradebotError, UsageError

if TYPE_CHECKING:
    from tradebot.config import Settings
    from tradebot.documents import Document
    from tradebot.progress import Progress

app = typer.Typer(
    name="tradebot", rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False,
    help="A machine-learning trading cycle for crypto exchanges: scan, fetch, analyze, predict, execute, monitor.",
)  # fmt: skip
sim_app = typer.Typer(help="The simulated exchange.", rich_markup_mode=None)
app.add_typer(sim_app, name="sim")

# Options that stand for a key of config.toml: name, key, help. Values are checked there.
KEYS: dict[str, tuple[str, str]] = {
    "data_dir": ("data_dir", "Folder for klines, state and reports."),
    "venue": ("venue.name", "Exchange: sim (built in), binance, binance-usdm, or ccxt:NAME."),
    "base_url": ("venue.base_url", "Another address that speaks the venue's protocol."),
    "symbols": ("universe.symbols", "Symbols, separated by commas; default: the most traded."),
    "intervals": ("market.intervals", "Three intervals from fine to coarse, as 5m,15m,1h."),
    "bars": ("market.bars", "Closed klines kept for each series."),
    "strategy": ("strategy.name", "Strategy; `tradebot analyze --list` shows them."),
    "model": ("model.path", "ONNX model; default: the demo model."),
    "seed": ("sim.seed", "Seed of the synthetic prices."),
    "listed": ("sim.symbols", "How many symbols the exchange lists."),
    "klines": ("sim.klines", "Play back a folder of kline files."),
    "at": ("sim.at", "The venue's time at its start, as 2018-01-20T00:00:00Z."),
    "clock": ("sim.clock", "real, stepped or scaled."),
    "speed": ("sim.speed", "Venue seconds in a real one; its clock is then scaled."),
    "latency": ("sim.latency_ms", "Delay of every reply, ms."),
    "faults": ("sim.faults", "TOML file of faults that the exchange shall have."),
}  # fmt: skip
EVERYWHERE = ("data_dir", "venue", "base_url")
LOOKING = (*EVERYWHERE, "symbols", "intervals", "bars")


@dataclass
class Terminal:
    """Where documents go: as JSON lines to stdout, or as tables for people."""

    json: bool
    signals: object = None
    out: TextIO = field(default_factory=lambda: sys.stdout)

    def emit(self, kind: str, document: "Document") -> None:
        """Print one document of the command `kind`."""
        if self.json:
            from tradebot.documents import encode

            print(encode(document), file=self.out, flush=True)
            return
        from tradebot import bench_report, fetch_report, report, trade_report

        if kind == "run":  # in a loop, people need not read the same signals every minute
            document = {**document, "repeated": document["signals"] == self.signals != []}
            self.signals = document["signals"]
        console = report.console(self.out if self.out.isatty() else sys.stderr)
        renderers = report.RENDERERS | fetch_report.RENDERERS | trade_report.RENDERERS | bench_report.RENDERERS
        report.show(console, renderers[kind](document))

    def tell(self, kind: str, document: "Document") -> None:
        """Print like `emit`; where that is impossible (a full disk, say) the work goes on all the same."""
        try:
            self.emit(kind, document)
        except BrokenPipeError:
            _say("whoever read the output has gone, so this ends")
            raise
        except OSError as error:
            _say(f"a document could not be written: {error.strerror}")

    def conclude(self, summary: "Document") -> None:
        """What several cycles came to, for people; whoever reads documents has it in them."""
        if summary["cycles"] > 1 and not self.json:
            from tradebot import report

            report.show(report.console(sys.stderr), report.summary(summary))

    @property
    def watched(self) -> bool:
        """Whether somebody looks at what goes to stderr meanwhile."""
        return not self.json and sys.stderr.isatty()

    def warn(self, message: str) -> None:
        """One line on stderr that must not be missed."""
        _say(message)

    @contextlib.contextmanager
    def progress(self) -> "Iterator[Progress]":
        """A progress bar on stderr for what takes long, where somebody looks."""
        if not self.watched:
            yield lambda *_: None
            return
        from tradebot.report import progress_bar

        with progress_bar() as update:
            yield update


def _flag(name: str) -> str:
    return "--symbols" if name == "listed" else f"--{name.replace('_', '-')}"


def _key_option(name: str) -> inspect.Parameter:
    flag, (_, text) = _flag(name), KEYS[name]
    hint = Annotated[
        str | None, typer.Option(flag, help=text, show_default=False, metavar=flag.rsplit("-", maxsplit=1)[-1].upper())
    ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def _common_options() -> list[inspect.Parameter]:
    file = typer.Option(
        "--config", metavar="PATH", help="Configuration file; default ./config.toml.", show_default=False
    )
    keys = typer.Option(
        "--set", metavar="KEY=VALUE", help="Any key of config.toml, as pool.use=always.", show_default=False
    )
    options: dict[str, tuple[Any, Any, Any]] = {
        "config": (str | None, None, file),
        "set_": (list[str] | None, None, keys),
        "json": (bool, False, typer.Option("--json", help="One JSON document on stdout and nothing else there.")),
        "verbose": (bool, False, typer.Option("--verbose", "-v", help="Log what is done, to stderr.")),
        "debug": (bool, False, typer.Option("--debug", help="Log more, and show a traceback when something breaks.")),
    }  # fmt: skip
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])
        for name, (kind, default, option) in options.items()
    ]


def _assignments(pairs: Iterable[str]) -> dict[str, tuple[str, Any]]:
    """`--set` options; lists and tables are not split here but where they are validated."""
    given = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UsageError(f"--set {pair}: write it as section.key=value")
        given[key.strip()] = (f"--set {key.strip()}", value)
    return given


def _settings(names: Sequence[str], given: dict[str, Any]) -> "Settings":
    from tradebot.config import load, without_algebra_threads

    without_algebra_threads()
    options = {KEYS[name][0]: (_flag(name), given.pop(name)) for name in names}
    debug, verbose = given.pop("debug"), given.pop("verbose")
    options["log_level"] = ("--verbose", "debug" if debug else "info" if verbose else None)
    # An option that is not given must not stand in the way of the same key's --set.
    given_options = {key: option for key, option in options.items() if option[1] is not None}
    chosen = _assignments(given.pop("set_") or ()) | given_options
    if "sim.speed" in given_options:  # only a scaled clock has a speed
        chosen.setdefault("sim.clock", ("--speed", "scaled"))
    return load(given.pop("config"), chosen)


def command(function: Callable[..., None], name: str, *keys: str, on: typer.Typer = app) -> None:
    """File a function `(settings, terminal, **own options)` as a command.

    The options that every command has, and those in `keys` that stand for a key of config.toml,
    are added here, so that a command only declares what is its own.
    """
    own = list(inspect.signature(function).parameters.values())[2:]

    def call(**given: Any) -> None:
        from tradebot.logs import log_to_stderr

        terminal = Terminal(given.pop("json"))
        settings = _settings(keys, given)
        log_to_stderr(settings.log_level)
        # What a strategy of the user's prints must not come between the documents.
        others = contextlib.redirect_stdout(sys.stderr) if terminal.json else contextlib.nullcontext()
        try:
            with others:
                function(settings, terminal, **given)
        except BrokenPipeError:  # the reader of our output has gone, as `head` does; the parser would make it a bug
            for stream in (sys.stdout, sys.stderr):  # what is left in them is written at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise Ended(0) from None

    call.__doc__ = function.__doc__
    parameters = [*own, *(_key_option(key) for key in keys), *_common_options()]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    on.command(name)(call)


command(cli_fetch.fetch, "fetch", *LOOKING)
command(cli_look.analyze, "analyze", *LOOKING, "strategy")
command(cli_look.predict, "predict", *LOOKING, "strategy", "model")
command(cli_train.train, "train", *EVERYWHERE, "symbols", "intervals", "strategy")
command(cli_trade.run, "run", *LOOKING, "strategy", "model")
command(cli_trade.positions, "positions", *EVERYWHERE)
command(cli_trade.stop, "stop", *EVERYWHERE)
command(cli_train.export_onnx, "export-onnx", "data_dir")
command(cli_bench.bench, "bench", "data_dir")
command(
    cli_serve.serve, "serve", "data_dir", "klines", "at", "clock", "speed", "seed", "listed", "latency", "faults",
    on=sim_app,
)  # fmt: skip


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tradebot {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Print the help when no command is given."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def _have_streams() -> None:
    """Whoever started us may have closed the standard streams; no file of ours must take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # PYTHONUNBUFFERED, usual in containers: Python writes once, and what a pipe does not take at once is lost.
        sys.stdout = os.fdopen(sys.stdout.fileno(), "w", closefd=False, encoding=sys.stdout.encoding)


def _say(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    from tradebot.logs import redacted

    with contextlib.suppress(OSError):
        print(f"tradebot: {redacted(' '.join(message.split()))}", file=sys.stderr)


def _show_traceback() -> None:
    import traceback

    from tradebot.logs import redacted

    print(redacted(traceback.format_exc()), file=sys.stderr)


def _usage(error: TyperException, arguments: Sequence[str]) -> str:
    """The parser's message, and where to look: not every error knows its command."""
    text = getattr(error, "format_message", lambda: str(error))().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text}; see `{context.command_path if context else _command_path(arguments)} --help`"


def _command_path(arguments: Sequence[str]) -> str:
    """The command that is named first, as `tradebot sim serve`."""
    known: Any = typer.main.get_command(app)
    path = ["tradebot"]
    for word in arguments:
        if not (known := getattr(known, "commands", {}).get(word)):
            break
        path.append(word)
    return " ".join(path)


def _carry_out(arguments: list[str]) -> int:
    """Run the command line; the exit code, whatever happens."""
    try:
        return int(typer.main.get_command(app).main(arguments, prog_name="tradebot", standalone_mode=False) or 0)
    except TyperException as error:
        _say(_usage(error, arguments))
        return UsageError.exit_code
    except TradebotError as error:
        _say(str(error))
        return error.exit_code
    except Ended as ended:
        return ended.code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except OSError as error:
        _say(f"input or output failed: {error}")
        return 1


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with the code that the errors module defines."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Most of what a command makes lives as long as it does: to look for garbage every 700 objects, which is the
    # default, takes a tenth of the time.
    gc.set_threshold(50_000)
    # The interpreter would look through all that is left, several times, only to throw it away: 0.05 s.
    atexit.register(gc.freeze)
    # httpx would import a command line of its own, and with it 0.05 s of lexers and tables.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    _have_streams()
    try:
        code = _carry_out(arguments)
    except Exception as error:
        if "--debug" in arguments:
            _show_traceback()
        else:
            _say(f"a bug: {type(error).__name__}: {error}; run again with --debug for the traceback and report it")
        code = 1
    try:
        sys.stdout.flush()
    except OSError:  # already told; the interpreter would try again, and end with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
