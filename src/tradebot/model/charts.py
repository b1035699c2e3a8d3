"""A model card as charts: calibration, folds, importance. They need matplotlib, the extra `report`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tradebot.model.card import Document

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (6.4, 3.6)  # inches
SHOWN = 15  # features


def charts(card: Document) -> dict[str, str]:
    """SVG elements by title, the same bytes for the same card; none without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return {}
    drawn = {}
    with matplotlib.rc_context({"svg.hashsalt": "tradebot", "svg.fonttype": "none", "font.size": 9}):
        for title, draw in CHARTS.items():
            figure, out = Figure(figsize=SIZE, layout="constrained"), io.StringIO()
            draw(figure.subplots(), card)
            figure.savefig(out, format="svg", metadata={"Date": None})
            drawn[title] = out.getvalue()[out.getvalue().index("<svg") :]
    return drawn


def _calibration(axes: Axes, card: Document) -> None:
    for name, figures, mark in (("folds", card["pooled"], "o-"), ("test", (card["test"] or {}).get("figures"), "s--")):
        if figures:
            bins = figures["calibration"]
            axes.plot([each["predicted"] for each in bins], [each["observed"] for each in bins], mark, label=name)
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="grey", linewidth=1, label="as predicted")
    axes.set(xlabel="predicted", ylabel="came true")
    axes.legend()


def _folds(axes: Axes, card: Document) -> None:
    folds = [*card["folds"], *([card["test"]] if card["test"] else [])]
    places = range(len(folds))
    for key, name, shift in (("log_loss", "model", -0.2), ("base_log_loss", "base rate", 0.2)):
        axes.bar([place + shift for place in places], [fold["figures"][key] for fold in folds], 0.4, label=name)
    values = [fold["figures"][key] for fold in folds for key in ("log_loss", "base_log_loss")]
    axes.set_ylim(min(values) * 0.95, max(values) * 1.02)
    axes.set_xticks(list(places), [fold["name"] for fold in folds])
    axes.set_ylabel("log-loss (lower is better)")
    axes.legend()


def _importance(axes: Axes, card: Document) -> None:
    shares = list(card["importance"].items())[:SHOWN][::-1]
    axes.barh([name for name, _ in shares], [share for _, share in shares])
    axes.set_xlabel("share of the gain")


CHARTS: dict[str, Callable[[Any, Document], None]] = {
    "Calibration": _calibration, "Log-loss of the folds": _folds, "What it looks at": _importance,
}  # fmt: skip
