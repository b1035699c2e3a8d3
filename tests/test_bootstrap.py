"""The scripts: when the environment is built, and whose source runs."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAKE = """#!/bin/sh
keep() {{ cp "{root}/requirements/$1.txt" "{root}/.venv/$1.txt"; }}
case "$1" in
  -c) exit 0 ;;
  *bootstrap.py) echo "built $2"; keep run; keep "$2" ;;
  *) echo "ran $* from $PYTHONPATH" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the scripts with an interpreter that only tells what it is asked to do."""
    root = tmp_path / "a checkout"
    for folder in ("scripts", "requirements"):
        shutil.copytree(ROOT / folder, root / folder)
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE.format(root=root))
    python.chmod(0o755)
    return root


def call(root: Path, *arguments: str) -> list[str]:
    environment = {**os.environ, "PYTHON": str(root / ".venv" / "bin" / "python"), "PYTHONPATH": ""}
    command = [str(root / "scripts" / "tradebot"), *arguments]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.splitlines()


def test_the_first_call_builds_and_the_next_ones_do_not(checkout: Path) -> None:
    ran = f"ran -m tradebot run --once from {checkout}/src"
    assert call(checkout, "run", "--once") == ["built run", ran]
    assert call(checkout, "run", "--once") == [ran]


def test_a_changed_lock_builds_again(checkout: Path) -> None:
    call(checkout)
    lock = checkout / "requirements" / "run.txt"
    lock.write_text(lock.read_text() + "\n")
    assert call(checkout)[0] == "built run"
    assert call(checkout)[0].startswith("ran")


def test_an_environment_without_its_interpreter_is_not_taken_for_built(checkout: Path) -> None:
    call(checkout)
    built_from = runpy.run_path(str(checkout / "scripts" / "bootstrap.py"))["built_from"]
    assert built_from("run")
    assert not built_from("dev")
    (checkout / ".venv" / "bin" / "python").unlink()
    assert not built_from("run")


def test_locks_pin_by_hash_and_name_no_host() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
