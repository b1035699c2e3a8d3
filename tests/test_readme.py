"""The README, the reference and config.toml say what the program does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import typer

from tradebot.cli import app
from tradebot.config import leaves

ROOT = Path(__file__).parent.parent


def commands(group: object, prefix: str = "tradebot") -> set[str]:
    found = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = f"{prefix} {name}"
        found |= commands(command, inner) if hasattr(command, "commands") else {inner}
    return found


def test_the_readme_lists_every_command_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(tradebot [a-z -]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert listed == commands(typer.main.get_command(app))


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 66


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_config_toml_is_what_the_settings_say() -> None:
    render = runpy.run_path(str(ROOT / "scripts" / "write_config.py"))["render"]
    assert (ROOT / "config.toml").read_text() == render(), "run: python scripts/write_config.py"


def test_every_key_has_a_description() -> None:
    assert [key for key, field in leaves() if not field.description] == []


def test_the_reference_names_every_exit_code() -> None:
    from tradebot import errors

    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    text = (ROOT / "docs" / "reference.md").read_text()
    assert all(f"| {code} |" in text for code in codes)
