"""The house's walls: which layer may import which, checked on the source itself."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeSettings, served

SOURCE = Path(__file__).parent.parent / "src" / "tradebot"
ORDER = ["ground", "market", "analysis", "model", "trading", "sim", "house"]
MAY_IMPORT = {
    "ground": {"ground"},
    "market": {"ground", "market"},
    "analysis": {"ground", "market", "analysis"},
    "model": {"ground", "market", "analysis", "model"},
    "trading": {"ground", "market", "analysis", "model", "trading"},
    "sim": {"ground", "market", "sim"},
    "house": set(ORDER),
}
GROUND = {"errors", "registry", "machine", "clock", "config", "database", "progress"}
FILES = sorted(SOURCE.rglob("*.py"))


def layer(module: str) -> str:
    parts = module.split(".")[1:] or ["__init__"]
    if parts[0] in GROUND:
        return "ground"
    return parts[0] if parts[0] in MAY_IMPORT else "house"


def room(file: Path) -> str:
    """`config` for all of the package `config`, else the module's name."""
    package = file.parent.name
    return package if package in GROUND else file.stem


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("tradebot.")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_module_imports_its_own_layer_or_a_lower_one(file: Path) -> None:
    here = layer(".".join(["tradebot", *file.relative_to(SOURCE).with_suffix("").parts]))
    wrong = {name for name in imported(ast.parse(file.read_text())) if layer(name) not in MAY_IMPORT[here]}
    assert not wrong


@pytest.mark.parametrize(
    ("call", "homes"),
    [
        (r"time\.time|datetime\.now", {"clock"}),
        # `threads` sets, for worker processes, what numeric libraries read when they are loaded.
        (r"os\.environ|getenv", {"config", "threads"}),
        (r"(?<![\w.])print\(", {"cli"}),
    ],
)
def test_only_one_room_reads_the_time_the_environment_or_prints(call: str, homes: set[str]) -> None:
    users = {room(file) for file in FILES if re.search(call, file.read_text())}
    assert users == homes


def loaded_by(arguments: str) -> set[str]:
    script = (
        "import sys\nfrom tradebot.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "sys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.rpartition("LOADED ")[2].split())


def test_help_imports_nothing_that_it_does_not_need() -> None:
    assert not loaded_by("['--help']") & {"numpy", "pydantic", "rich", "httpx", "asyncio"}


async def test_market_data_of_a_venue_needs_neither_the_simulated_exchange_nor_lexers(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    async with served(make_settings(sim__symbols=2)) as url:
        arguments = f"['fetch', '--json', '--data-dir', '{tmp_path}', '--venue', 'binance', '--base-url', '{url}']"
        loaded = await asyncio.to_thread(loaded_by, arguments)
    assert "httptools" in loaded
    assert not loaded & {
        "aiohttp",
        "filelock",
        "numpy.ma",
        "tradebot.sim.app",
        "tradebot.sim.engine",
        "starlette",
        "pygments",
        "click",
    }


def test_a_cycle_imports_neither_pandas_nor_what_trains(tmp_path: Path) -> None:
    loaded = loaded_by(f"['run', '--once', '--json', '--data-dir', '{tmp_path}']")
    assert "onnxruntime" in loaded
    heavy = {"pandas", "xgboost", "sklearn", "scipy", "onnxmltools", "onnx", "ccxt", "matplotlib", "pyarrow"}
    assert not loaded & heavy
