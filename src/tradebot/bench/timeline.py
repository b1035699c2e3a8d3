"""A picture of cycles: stages as bars, requests as ticks, one time axis. As SVG, HTML, or text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tradebot.errors import UsageError

COLOURS = {
    "scan": "#8e9aaf", "fetch": "#3a86ff", "analyze": "#2a9d8f", "predict": "#8338ec", "execute": "#e76f51",
    "monitor": "#f4a261",
}  # fmt: skip
WIDTH, LEFT, ROW, GAP = 960, 110, 22, 34
CELLS = 60


@dataclass(frozen=True)
class Strip:
    """One cycle: spans in ms since its start, of stages (with their names) and of requests."""

    title: str
    stages: Sequence[tuple[str, float, float]]
    requests: Sequence[tuple[float, float]]

    @property
    def length(self) -> float:
        """Until the last end, ms."""
        ends = [end for _, _, end in self.stages] + [end for _, end in self.requests]
        return max(ends, default=0.0)


def svg(strips: Sequence[Strip]) -> str:
    """The strips below each other, each on an axis of its own length: their lengths differ by far too much for one."""
    parts: list[str] = []
    top = 10.0
    for strip in strips:
        parts += _strip(strip, top)
        top += _height(strip) + GAP
    style = "text{font:12px sans-serif;fill:#222}.t{font-weight:bold}.a{fill:#777}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + 20} {top:.0f}" role="img">'
        f"<style>{style}</style>{''.join(parts)}</svg>"
    )


def _height(strip: Strip) -> float:
    return ROW * (len(_names(strip)) + 2) + 14


def _names(strip: Strip) -> list[str]:
    present = {name for name, *_ in strip.stages}
    return [name for name in COLOURS if name in present]


def _strip(strip: Strip, top: float) -> Iterable[str]:
    scale = WIDTH / (strip.length or 1.0)
    yield f'<text class="t" x="0" y="{top + 12:.1f}">{escape(strip.title)}: {strip.length:,.0f} ms</text>'
    names = _names(strip)
    for row, name in enumerate(names):
        y = top + ROW * (row + 1)
        yield f'<text x="0" y="{y + 13:.1f}">{name}</text>'
        for stage, start, end in strip.stages:
            if stage == name:
                yield _bar(
                    LEFT + start * scale,
                    y,
                    max((end - start) * scale, 1.0),
                    COLOURS[name],
                    f"{name} {end - start:.1f} ms",
                )
    y = top + ROW * (len(names) + 1)
    yield f'<text x="0" y="{y + 13:.1f}">{len(strip.requests)} requests</text>'
    for start, end in strip.requests:
        yield (
            f'<line x1="{LEFT + start * scale:.1f}" x2="{LEFT + start * scale:.1f}" y1="{y:.1f}" y2="{y + 14:.1f}" '
            f'stroke="#222" stroke-width="0.6" opacity="0.5"><title>{start:.1f} to {end:.1f} ms</title></line>'
        )
    for tenth in range(0, 11, 2):
        x = LEFT + WIDTH * tenth / 10
        yield f'<text class="a" x="{x:.1f}" y="{y + 30:.1f}">{strip.length * tenth / 10:,.0f}</text>'


def _bar(x: float, y: float, width: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW - 6}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def page(strips: Sequence[Strip], caption: str) -> str:
    """The picture as an HTML page of its own."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>tradebot bench</title>'
        '<body style="font:14px sans-serif;max-width:1120px;margin:2em auto">'
        f"<h1>Where a cycle's time goes</h1><p>{escape(caption)}</p>{svg(strips)}</body></html>\n"
    )


def check(path: Path) -> None:
    """`UsageError` for a file whose suffix is not one that is drawn."""
    if path.suffix.lower() not in (".svg", ".html"):
        raise UsageError(f"{path}: a picture is written to a file that ends in .svg or .html")


def write(path: Path, strips: Sequence[Strip], caption: str) -> None:
    """Write `.svg` or `.html`. `UsageError` for another suffix or where nothing can be written."""
    check(path)
    text = svg(strips) + "\n" if path.suffix.lower() == ".svg" else page(strips, caption)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file with --picture") from None


def lines(strip: Strip) -> list[str]:
    """The strip in characters: a row for each stage, and one that is the darker the more requests are in the air."""
    scale = CELLS / (strip.length or 1.0)
    rows = [f"{strip.title}: {strip.length:,.0f} ms, {len(strip.requests)} requests"]
    for name in _names(strip):
        cells = [" "] * CELLS
        for stage, start, end in strip.stages:
            if stage == name:
                first = min(int(start * scale), CELLS - 1)
                for cell in range(first, max(min(round(end * scale), CELLS), first + 1)):
                    cells[cell] = "█"
        rows.append(f"{name:>9} {''.join(cells)}".rstrip())
    return [*rows, f"{'requests':>9} {_density(strip, scale)}".rstrip()]


def _density(strip: Strip, scale: float) -> str:
    """How many requests are in the air at each moment, against the most."""
    flying = [0] * CELLS
    for start, end in strip.requests:
        first = min(int(start * scale), CELLS - 1)
        for cell in range(first, max(min(round(end * scale), CELLS), first + 1)):
            flying[cell] += 1
    most = max(flying, default=0) or 1
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in flying)
