"""Has anything become slower? Two bench documents of one workload, compared figure by figure.

Ratios, requests and CPU time a symbol are compared wherever they were measured; wall times only if
asked, since they say more about the machine. Noise on a shared machine only ever makes things slower,
so a figure counts by its best of several runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

from tradebot.documents import SCHEMA, Document, encode
from tradebot.errors import UsageError

SAME = ("symbols", "intervals", "bars", "latency_ms", "connections")
"""What two workloads must have in common to be compared."""

RUNS = 3
"""Runs before a figure that is beyond the limit in all of them counts as slower."""


@dataclass(frozen=True)
class Measure:
    """One comparable figure. `kind` is "ratio" (more is better), or "requests", "cpu", "time" (less is)."""

    name: str
    value: float
    kind: Literal["ratio", "requests", "cpu", "time"]

    def loss(self, before: float) -> float:
        """By what share it is worse than before; negative where it is better."""
        if not before or not self.value:
            return 0.0 if self.value == before else 1.0
        return before / self.value - 1 if self.kind == "ratio" else self.value / before - 1


def measures(document: Document) -> list[Measure]:
    """The comparable figures of a bench document."""
    symbols = document["workload"]["symbols"]
    found = [Measure("speedup", document["speedup"], "ratio")]
    for kind, each in document["kinds"].items():
        found += [
            Measure(f"{kind}: speedup", each["serial_ms"] / each["pipelined_ms"], "ratio"),
            Measure(f"{kind}: requests", each["requests"], "requests"),
            Measure(f"{kind}: CPU ms a symbol", 1000 * each["cpu_s"] / symbols, "cpu"),
            Measure(f"{kind}: wall ms", each["pipelined_ms"], "time"),
        ]
    stages = document["pipelined"]["stages"]
    return found + [Measure(f"stage {stage}: wall ms", value, "time") for stage, value in stages.items()]


def save(path: Path, document: Document) -> None:
    """Keep a bench document as a baseline, whole or not at all. `UsageError` if it cannot be written."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_text(encode(document) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file with --save") from None


def _sane(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < inf


def load(path: Path, workload: Document | None = None) -> Document:
    """A saved document; `UsageError` if it is none, or of another workload than this one."""
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        before = {key: document["workload"][key] for key in SAME}
        whole = document["schema"] == SCHEMA and all(_sane(each.value) for each in measures(document))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; make one with --save") from None
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError):
        whole = False
    if not whole:
        raise UsageError(f"{path}: not a document that `tradebot bench --save` wrote")
    for key, value in before.items():
        if workload is not None and json.loads(json.dumps(workload[key])) != value:
            raise UsageError(f"{path}: was measured with {key} {value}, not {workload[key]}; only like is compared")
    return document


def share(text: str) -> float:
    """`10%` or `0.1` as 0.1; `UsageError` for anything else."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 100:
        raise UsageError(f"--max-regression {text}: write it as 10% or 0.1")
    return value


def regressions(before: Document, runs: Sequence[Document], limit: float, *, times: bool = False) -> list[Document]:
    """The figures whose best run is worse than before by more than `limit`, worst first."""
    known = {each.name: each.value for each in measures(before)}
    best: dict[str, tuple[float, Measure]] = {}
    for run in runs:
        for each in measures(run):
            if each.name in known and (times or each.kind != "time"):
                loss = each.loss(known[each.name])
                if each.name not in best or loss < best[each.name][0]:
                    best[each.name] = (loss, each)
    return [
        {"name": name, "before": round(known[name], 4), "now": round(measure.value, 4), "worse": round(loss, 4)}
        for name, (loss, measure) in sorted(best.items(), key=lambda item: -item[1][0])
        if loss > limit
    ]
