"""The document of `bench` as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tradebot.documents import Document
from tradebot.report import Column, get, percent, table


def _ahead(row: Document) -> str:
    old, new = row["serial"], row["pipelined"]
    if not old or not new:
        return "" if not old else "ahead"
    return f"{old / new:.1f} times" if old >= new else "behind"


def _comparison(document: Document) -> list[Document]:
    old, new = document["serial"], document["pipelined"]
    rows = [
        ("total p50, ms", old["total_ms"]["p50"], new["total_ms"]["p50"]),
        ("total p95, ms", old["total_ms"]["p95"], new["total_ms"]["p95"]),
    ]
    rows += [(f"{stage}, ms", old["stages"][stage], new["stages"][stage]) for stage in old["stages"]]
    rows += [("requests", old["requests"], new["requests"]), ("CPU, s", old["cpu_s"], new["cpu_s"])]
    rows += [(f"{kind} cycle, ms", each["serial_ms"], each["pipelined_ms"]) for kind, each in document["kinds"].items()]
    return [{"what": what, "serial": a, "pipelined": b} for what, a, b in rows]


COMPARED: list[Column] = [
    ("a cycle", get("what")), ("serial", lambda row: f"{row['serial']:,.2f}"),
    ("pipelined", lambda row: f"{row['pipelined']:,.2f}"), ("pipelined is", _ahead),
]  # fmt: skip
CLAIMS: list[Column] = [
    ("claim", get("name")), ("expected", get("expected")), ("measured", get("measured")),
    ("met", lambda row: {True: "yes", False: "no"}.get(row["met"], "")),
]  # fmt: skip


def _at(size: str) -> Callable[[Document], float]:
    return lambda row: float(row["values"][size])


def _drawn(strips: Sequence[Any]) -> Iterable[Text]:
    """Cycles as rows of characters."""
    if strips:
        from tradebot.bench import timeline  # all of the bench is loaded by now; --help has no use for it

        for strip in strips:
            yield Text("\n".join(["", *timeline.lines(strip)]))


WAITS: list[Column] = [
    ("step", get("step")), ("signals", get("count")), ("p50", get("p50")), ("p95", get("p95")), ("max", get("max"))
]  # fmt: skip
KEPT: list[Column] = [
    ("klines", get("klines")), ("symbols", get("symbols")), ("requests", get("requests")),
    ("weight", get("weight")), ("of a full refetch", percent("share")),
]  # fmt: skip
WITHOUT: list[Column] = [
    ("without", get("without")), ("cycle ms", get("total_ms")), ("times", get("times")),
    ("requests", lambda row: round(row["requests"])), ("CPU s", get("cpu_s")), ("fetch ms", get("fetch_ms")),
    ("predict ms", get("predict_ms")), ("idle", percent("idle")),
]  # fmt: skip
SLOWER: list[Column] = [
    ("figure", get("name")), ("before", get("before")), ("now", get("now")), ("worse", percent("worse"))
]  # fmt: skip


def bench(document: Document) -> Iterable[Table | Text]:
    """Workload, comparison and claims of `bench`."""
    work, on = document["workload"], document["environment"]
    yield Text(
        f"{work['symbols']} symbols × {', '.join(work['intervals'])} × {work['bars']} bars, {work['latency_ms']:g} ms "
        f"latency; {work['cycles']} serial and {work['pipelined_cycles']} pipelined cycles"
    )
    yield Text(
        f"Python {on['python']}, {on['cpus']} CPUs, load {on['load']}, {work['elapsed_ms'] / 1e3:.0f} s", style="dim"
    )
    yield table("Serial against pipelined", _comparison(document), COMPARED, shown=30)
    waits = [{"step": step, **row} for step, row in document["latency"].items()]
    yield table("Bar close to order at 5m closes, ms", waits, WAITS)
    yield table("Claims", document["claims"], CLAIMS, shown=30)
    yield table("What each idea is worth: 5m closes without it", document["ideas"], WITHOUT)
    yield table("Klines of an hour, a look a minute", document["open_klines"], KEPT)
    if document["scaling"]:
        sizes = list(document["scaling"][0]["values"])
        columns: list[Column] = [("5m close", get("name")), *((size, _at(size)) for size in sizes)]
        yield table("Growth with the symbols, ms", document["scaling"], [*columns, ("exponent", get("exponent"))])
    for other in document.get("also", ()):
        yield from (Text(), *bench(other), Text())
    yield from _drawn(document.get("strips", ()))
    if document["regressions"]:
        yield table("Slower than the baseline", document["regressions"], SLOWER)
    yield Text(
        f"speed-up {document['speedup']} times; the signals and probabilities of both are the same", style="bold"
    )


RENDERERS: dict[str, Callable[[Document], Iterable[Table | Text]]] = {"bench": bench}
