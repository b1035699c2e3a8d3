"""Write config.toml from the settings themselves: every key, its default and what it means."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from tradebot.config import Section, Settings

HEAD = """\
# tradebot's settings, each with its default. Every value can also come from the environment
# (TRADEBOT_VENUE__NAME=binance) or from the command line (--set venue.name=binance).
# Looked for as --config, $TRADEBOT_CONFIG, ./config.toml, then in the user's configuration folder.
# Keys and secrets of an exchange never belong in this file.
"""


def value(default: Any) -> str:
    """A default as TOML; None has no TOML form and is shown commented out."""
    if isinstance(default, dict):
        return "{}"
    return json.dumps(list(default) if isinstance(default, tuple) else default, default=float)


def entries(model: type[Section]) -> list[str]:
    """A table's own keys, each under its description."""
    rows = []
    for name, field in model.model_fields.items():
        if isinstance(field.default, Section):
            continue
        rows += textwrap.wrap(field.description or "", 98, initial_indent="# ", subsequent_indent="#   ")
        rows.append(f"# {name} =" if field.default is None else f"{name} = {value(field.default)}")
    return rows


def render() -> str:
    """The whole file."""
    parts = [HEAD, *entries(Settings)]
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Section):
            parts += ["", f"# {type(field.default).__doc__}", f"[{name}]", *entries(type(field.default))]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent.parent / "config.toml").write_text(render(), encoding="utf-8")
