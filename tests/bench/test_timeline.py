"""The picture of a cycle."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tradebot.bench.timeline import CELLS, Strip, lines, page, svg, write
from tradebot.errors import UsageError

SERIAL = Strip("serial", [("fetch", 0, 800), ("analyze", 800, 900), ("execute", 900, 1000)], [(0, 400), (400, 800)])
QUICK = Strip("pipelined", [("monitor", 0, 10), ("fetch", 2, 50), ("analyze", 20, 52)], [(2, 40)] * 50)


def test_the_svg_has_a_bar_for_each_span_and_a_tick_for_each_request() -> None:
    root = ElementTree.fromstring(svg([SERIAL, QUICK]))
    assert sum(element.tag.endswith("rect") for element in root.iter()) == 6
    assert sum(element.tag.endswith("line") for element in root.iter()) == 52
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "serial: 1,000 ms" in texts
    assert "pipelined: 52 ms" in texts
    assert "50 requests" in texts


def test_bars_stand_where_their_times_are() -> None:
    root = ElementTree.fromstring(svg([SERIAL]))
    bars = [element for element in root.iter() if element.tag.endswith("rect")]
    fetch, analyze, execute = ((float(bar.get("x", 0)), float(bar.get("width", 0))) for bar in bars)
    assert fetch[0] + fetch[1] == pytest.approx(analyze[0], abs=0.2)
    assert analyze[1] == pytest.approx(execute[1], abs=0.2)
    assert fetch[1] == pytest.approx(8 * analyze[1], abs=0.5)


def test_titles_cannot_break_the_picture() -> None:
    evil = Strip("<script>&", [("fetch", 0, 1)], [])
    ElementTree.fromstring(svg([evil]))
    assert "<script>" not in page([evil], "<b>")


def test_the_text_has_a_row_for_each_stage_and_one_for_the_requests() -> None:
    title, fetch, analyze, execute, requests = lines(SERIAL)
    assert title == "serial: 1,000 ms, 2 requests"
    assert fetch.count("█") == round(0.8 * CELLS)
    assert analyze.index("█") == 10 + round(0.8 * CELLS)
    assert execute.endswith("█")
    assert requests.count("█") == round(0.8 * CELLS)


def test_a_cycle_without_anything_is_no_special_case() -> None:
    empty = Strip("nothing", [], [])
    assert lines(empty)[0] == "nothing: 0 ms, 0 requests"
    ElementTree.fromstring(svg([empty]))


def test_files_are_svg_or_html(tmp_path: Path) -> None:
    write(tmp_path / "a.svg", [SERIAL], "")
    write(tmp_path / "a.html", [SERIAL], "30 symbols")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert "30 symbols" in (tmp_path / "a.html").read_text()
    with pytest.raises(UsageError, match=r"ends in \.svg or \.html"):
        write(tmp_path / "a.png", [SERIAL], "")
    with pytest.raises(UsageError, match="No such file or directory; name another file with --picture"):
        write(tmp_path / "none" / "a.svg", [SERIAL], "")
