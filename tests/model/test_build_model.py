"""The shipped demo model is what its script makes, byte for byte."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tradebot.clock import parse_time
from tradebot.model.predictor import load

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_model.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def small(script: ModuleType, seed: int = 3) -> object:
    return script.Plan(seed=seed, symbols=6, start=parse_time("2025-03-01"), days=40, folds=2, shuffles=0)


def test_the_shipped_files_are_what_the_script_makes(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in (SCRIPT.parents[1] / "models").iterdir()) < 1_000_000


class TestBuild:
    def test_writes_all_files_and_a_check_then_passes(self, script: ModuleType, tmp_path: Path) -> None:
        plan = small(script)
        assert script.main([], tmp_path, plan) == 0
        assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")) == sorted(script.FILES)
        assert script.main(["--check"], tmp_path, plan) == 0
        card = load(str(tmp_path / "models" / "demo.onnx")).card
        described = json.loads((tmp_path / "models" / "demo.json").read_text())
        assert described["sha256"] == card.sha256
        assert described["threshold"]["threshold"] == card.threshold
        assert f"{described['test']['figures']['auc']:.3f}" in (tmp_path / "docs" / "model.md").read_text()

    def test_it_refuses_no_signal_of_validation(self, script: ModuleType, tmp_path: Path) -> None:
        script.build(tmp_path, small(script))
        described = json.loads((tmp_path / "models" / "demo.json").read_text())
        assert described["threshold"]["validation"]["trades"] == described["pooled"]["signals"]

    def test_a_check_names_what_differs_and_writes_nothing(
        self, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plan = small(script)
        script.build(tmp_path, plan)
        model = tmp_path / "models" / "demo.ubj"
        model.write_bytes(model.read_bytes()[:-1] + b"?")
        (tmp_path / "docs" / "model.md").unlink()
        assert script.main(["--check"], tmp_path, plan) == 1
        assert (
            "differs from models/demo.ubj, docs/model.md; run python scripts/build_model.py" in capsys.readouterr().err
        )
        assert model.read_bytes().endswith(b"?")
        assert not (tmp_path / "docs" / "model.md").exists()
