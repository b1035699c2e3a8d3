"""A model card as Markdown, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradebot.clock import MINUTE, format_time
from tradebot.model.card import Document
from tradebot.model.dataset import KEPT

SHOWN = 10  # features in the table of importance


def markdown(card: Document) -> str:
    """The card for people; a section each for verdict, figures, trades, calibration, importance and making."""
    parts = (_verdict, _figures, _trades, _calibration, _importance, _making)
    return f"# Model {card['strategy']['name']} {card['sha256'][:8]}\n\n" + "\n".join(part(card) for part in parts)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _verdict(card: Document) -> str:
    margin = card["margin"]
    if card["doubts"]:
        lines = "\n".join(f"- {doubt}" for doubt in card["doubts"])
        return f"**It should not trade:**\n\n{lines}\n"
    return (
        f"It beats the base rate: out of time its gain in log-loss is {margin['mean']:.5f}, with 95% "
        f"confidence {margin['low']:.5f} to {margin['high']:.5f}, over {margin['blocks']} days.\n"
    )


_FIGURES = (
    ("signals", "signals", ",d"), ("share that succeeded", "base_rate", ".3f"), ("log-loss", "log_loss", ".4f"),
    ("log-loss of the base rate", "base_log_loss", ".4f"), ("Brier score", "brier", ".4f"),
    ("Brier score of the base rate", "base_brier", ".4f"), ("AUC", "auc", ".3f"),
    ("calibration error", "calibration_error", ".3f"),
)  # fmt: skip


def _figures(card: Document) -> str:
    columns = [*((fold["name"], fold["figures"]) for fold in card["folds"]), ("all folds", card["pooled"])]
    if card["test"]:
        columns.append(("test", card["test"]["figures"]))
    rows = [[text, *(_number(figures[key], form) for _, figures in columns)] for text, key, form in _FIGURES]
    return f"## Figures, out of time\n\n{_grid(['', *(name for name, _ in columns)], rows)}\n{_chance(card)}"


def _chance(card: Document) -> str:
    shuffled = card["shuffled"]
    if not shuffled["aucs"]:
        return ""
    runs = len(shuffled["aucs"])
    more = "one more such validation" if runs == 1 else f"{runs} more such validations"
    gain = sum(shuffled["gains"]) / runs
    error = "" if shuffled["error"] is None else f" ± {shuffled['error']:.3f}"
    return (
        f"In {more} with shuffled outcomes, where there is nothing to learn, the AUC was "
        f"{shuffled['mean_auc']:.3f}{error}, and the log-loss {abs(gain):.4f} "
        f"{'above' if gain < 0 else 'below'} the base rate's.\n"
    )


def _trade_row(name: str, trades: Document) -> list[str]:
    form = (("trades", ",d"), ("days", ",d"), ("hit_rate", ".3f"), ("expectancy", "+.3%"), ("error", ".3%"))
    return [name, *(_number(trades[key], each) for key, each in form)]


def _trades(card: Document) -> str:
    threshold = card["threshold"]
    rows = [_trade_row(f"{each['threshold']:.4f}", each) for each in card["trades"]]
    rows.append(_trade_row(f"**{threshold['threshold']:.4f}**, chosen", threshold["validation"]))
    if threshold["test"]:
        rows.append(_trade_row(f"**{threshold['threshold']:.4f}**, on the test part", threshold["test"]))
    head = ["threshold", "trades", "days", "succeeded", "mean net return", "± (by days)"]
    return (
        f"## Trades\n\nOf the folds, at or above several thresholds, after fees and spread:\n\n{_grid(head, rows)}\n"
        f"The threshold is {threshold['threshold']:.4f}: {threshold['why']}.\n"
    )


def _calibration(card: Document) -> str:
    rows = [
        [f"{each['predicted']:.3f}", f"{each['observed']:.3f}", f"{each['signals']:,}"]
        for each in card["pooled"]["calibration"]
    ]
    return f"## Calibration\n\n{_grid(['predicted', 'came true', 'signals'], rows)}"


def _importance(card: Document) -> str:
    shares = list(card["importance"].items())
    top = max(card["importance"].values(), default=1.0)
    rows = [[name, f"{share:.1%}", "█" * max(round(20 * share / top), 1)] for name, share in shares[:SHOWN]]
    return f"## What it looks at\n\n{_grid(['feature', 'share of the gain', ''], rows)}"


def _making(card: Document) -> str:
    period, counts, booster = card["period"], card["dataset"]["counts"], card["xgboost"]
    symbols, strategy, onnx = card["symbols"], card["strategy"], card["onnx"]
    lost = ", ".join(f"{reason} {count:,}" for reason, count in counts.items() if reason != KEPT)
    parameters = ", ".join(f"{key} {value}" for key, value in booster.items())
    test = f"; the last {card['walk']['test']:.0%} of the period to test on" if card["test"] else ""
    many = ", ".join(symbols[:8]) + (" …" if len(symbols) > 8 else "")
    lines = (
        (
            f"Prices: {card['source']}, {format_time(period['since'])} to {format_time(period['until'])} UTC, "
            f"{', '.join(card['intervals'])}."
        ),
        f"{len(symbols)} symbols: {many}. They were chosen today: what has disappeared since is not among them.",
        (
            f"Signals to buy of the strategy `{strategy['name']}` {strategy['parameters'] or ''}, score at least "
            f"{strategy['min_score']}, on every closed bar: neighbours overlap and are not independent."
        ),
        f"Of {sum(counts.values()):,} bars {counts[KEPT]:,} gave a signal with a known outcome; the others: {lost}.",
        f"A trade is bought at the open of the next bar. Its label: {card['label']['text']}.",
        (
            f"Each of {len(card['folds'])} folds is judged by a booster that knows only what comes before it; trades "
            f"that had not ended, and {card['walk']['embargo'] / MINUTE:.0f} min, are left out between{test}."
        ),
        f"Learnt from {format_time(card['trained_from'])} to {format_time(card['trained_to'])} UTC.",
        f"XGBoost: {parameters}.",
        f"Features: schema `{card['feature_schema']}`. SHA-256 of the ONNX file: `{card['sha256']}`.",
        f"It differs from XGBoost by at most {onnx['max_abs_diff']:.1e} on {onnx['rows_checked']:,} rows.",
    )
    return "## How it was made\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"
