"""A model card as one HTML file that needs no other: the card's text, and its charts where they can be drawn."""

from __future__ import annotations

from html import escape
from string import Template

from tradebot.model.card import Document
from tradebot.model.charts import charts
from tradebot.model.prose import markdown

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .7em; border-bottom: 1px solid #ddd }
figure { display: inline-block; margin: 0 1em 1em 0 } code { overflow-wrap: anywhere }
</style></head><body>
$text
$charts
</body></html>
""")
_NONE = "<p>Charts need matplotlib: <code>pip install 'tradebot[report]'</code>.</p>"


def page(card: Document) -> str:
    """The file's text, the same for the same card."""
    from markdown_it import MarkdownIt

    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown(card))
    drawn = [f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in charts(card).items()]
    return _PAGE.substitute(title=f"Model {escape(card['sha256'][:8])}", text=text, charts="\n".join(drawn) or _NONE)
