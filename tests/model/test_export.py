"""An export gives a file that says the same as XGBoost, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boosters import booster, numbers

from tradebot.analysis.features import names, schema_hash
from tradebot.errors import ModelError
from tradebot.model.export import Report, export
from tradebot.model.predictor import load

INTERVALS = ("5m", "15m", "1h")
Save = Callable[..., Path]


def told(**values: Any) -> str:
    return json.dumps({"intervals": list(INTERVALS), **values})


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("model.ubj", {}),
        ("model.json", {"max_depth": 6, "rounds": 40}),
        ("named.ubj", {"names": names(INTERVALS)}),
        ("stranger.ubj", {"names": [f"my_{i}" for i in range(31)]}),
        ("based.ubj", {"base_score": 0.1}),
        ("single.ubj", {"rounds": 1}),
        ("stump.ubj", {"max_depth": 1, "rounds": 3}),
        ("leaf.ubj", {"gamma": 1e9, "rounds": 2, "base_score": 0.3}),
        ("forest.ubj", {"num_parallel_tree": 4, "rounds": 3, "subsample": 0.5}),
        ("regression.ubj", {"objective": "reg:logistic"}),
        ("grown.ubj", {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0}),
        ("exact.ubj", {"tree_method": "exact"}),
        ("deep.ubj", {"max_depth": 10, "rounds": 5, "min_child_weight": 0}),
        ("sampled.ubj", {"subsample": 0.5, "colsample_bytree": 0.3}),
        ("weighted.ubj", {"scale_pos_weight": 7}),
        ("dependent.ubj", {"max_delta_step": 0.5, "reg_alpha": 1.0, "reg_lambda": 9.0}),
        ("constrained.ubj", {"monotone_constraints": "(1" + ",0" * 30 + ")"}),
        ("few_bins.ubj", {"max_bin": 4}),
        ("slow.ubj", {"eta": 0.01, "rounds": 60}),
        ("extreme.ubj", {"base_score": 0.9}),
    ],
)
def test_a_model_of_any_make_says_the_same_in_onnx(tmp_path: Path, save: Save, name: str, made: dict[str, Any]) -> None:
    model = booster(**made)
    report = export(save(model, name), tmp_path / "model.onnx", rows=1_000)
    assert report.max_abs_diff <= 1e-5
    assert report.rows_checked >= 1_000
    rows = numbers(500, seed=9)
    assert np.abs(load(report.onnx).predict(rows) - model.inplace_predict(rows)).max() <= 1e-6


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
@pytest.mark.parametrize(("classes", "success", "column"), [(3, None, 2), (3, 0, 0), (5, 1, 1)])
def test_of_several_classes_one_means_success(
    tmp_path: Path, save: Save, objective: str, classes: int, success: int | None, column: int
) -> None:
    model = booster(objective=objective, num_class=classes)
    report = export(save(model), tmp_path / "model.onnx", rows=500, success=success)
    assert f"class {column} of {classes} is taken for success; --class names another" in report.notes
    model.set_param({"objective": "multi:softprob"})
    rows = numbers(300, seed=9)
    found = load(report.onnx)
    assert np.abs(found.predict(rows) - model.inplace_predict(rows)[:, column]).max() <= 1e-6
    assert found.card.output == "probability"


def test_a_class_that_is_not_there_is_refused(tmp_path: Path, save: Save) -> None:
    with pytest.raises(ModelError, match="has classes 0 to 2, not 3; see --class"):
        export(save(booster(objective="multi:softprob", num_class=3)), tmp_path / "model.onnx", success=3)


@pytest.mark.parametrize(
    "objective",
    [
        "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "reg:gamma",
        "reg:tweedie", "count:poisson", "reg:quantileerror", "binary:logitraw", "rank:pairwise",
    ],
)  # fmt: skip
def test_a_regression_gives_a_value_which_is_noted(tmp_path: Path, save: Save, objective: str) -> None:
    more = {"quantile_alpha": 0.7} if objective == "reg:quantileerror" else {}
    model = booster(objective=objective, **more)
    report = export(save(model), tmp_path / "model.onnx", rows=500)
    assert report.notes[-1].startswith(f"{objective} gives a value, not a probability")
    rows = numbers(300, seed=9)
    found = load(report.onnx)
    assert found.card.output == "value"
    assert np.abs(found.predict(rows) - model.inplace_predict(rows)).max() <= 1e-5


@pytest.mark.parametrize(
    "made",
    [
        {"objective": "binary:hinge"}, {"objective": "survival:cox"}, {"objective": "survival:aft"},
        {"base_score": 0.999},  # its first tree is a leaf of 0, which the converter takes for "no base score"
    ],
    ids=str,
)  # fmt: skip
def test_what_the_converter_gets_wrong_is_found_out_and_shown(tmp_path: Path, save: Save, made: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"refused, its ONNX twin differs by .* XGBoost says .* for ret_1_5m="):
        export(save(booster(**made)), tmp_path / "model.onnx", rows=500)
    assert not (tmp_path / "model.onnx").exists()


def test_the_report_says_what_was_checked(tmp_path: Path, save: Save) -> None:
    source = save(booster())
    report = export(source, tmp_path / "model.onnx")
    assert isinstance(report, Report)
    assert (report.source, report.onnx, report.features) == (str(source), str(tmp_path / "model.onnx"), 31)
    assert report.rows_checked > 10_000
    card = load(report.onnx).card
    assert (card.sha256, card.parity) == (report.sha256, report.max_abs_diff)


def test_two_exports_give_the_same_bytes(tmp_path: Path, save: Save) -> None:
    source = save(booster())
    for name in ("one", "two"):
        export(source, tmp_path / name, rows=100)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_file_is_plain_onnx_with_one_input_and_one_output(exported: Path) -> None:
    import onnx

    model = onnx.load(str(exported))
    onnx.checker.check_model(model, full_check=True)
    assert [port.name for port in model.graph.input] == ["features"]
    assert [port.name for port in model.graph.output] == ["probability"]
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["tradebot"])["versions"]["onnx"]


def test_only_trees_up_to_the_best_iteration_are_taken(tmp_path: Path, save: Save) -> None:
    model = booster(rounds=30)
    model.set_attr(best_iteration="4")
    report = export(save(model), tmp_path / "model.onnx", rows=1_000)
    rows = numbers(200)
    assert np.abs(load(report.onnx).predict(rows) - model.inplace_predict(rows, iteration_range=(0, 5))).max() < 1e-6
    assert np.abs(load(report.onnx).predict(rows) - model.inplace_predict(rows, iteration_range=(0, 30))).max() > 1e-2


class TestWhatIsTold:
    def test_the_booster_carries_it(self, tmp_path: Path, save: Save) -> None:
        model = booster()
        model.set_attr(
            tradebot=told(threshold=0.61, trained_from=1_000, trained_to=2_000, strategy="trend", label="net gain > 0")
        )
        report = export(save(model), tmp_path / "model.onnx", rows=100)
        card = load(report.onnx).card
        assert (card.threshold, card.trained_from, card.trained_to) == (0.61, 1_000, 2_000)
        assert (card.strategy, card.label) == ("trend", "net gain > 0")
        assert report.notes == ()

    def test_or_a_file_beside_it(self, tmp_path: Path, save: Save) -> None:
        (tmp_path / "model.json").write_text(told(intervals=["1m", "5m", "15m"], threshold=1))
        card = load(export(save(booster()), tmp_path / "model.onnx", rows=100).onnx).card
        assert card.intervals == ("1m", "5m", "15m")
        assert card.schema == schema_hash(("1m", "5m", "15m"))
        assert card.threshold == 1.0

    def test_but_not_the_model_once_more(self, tmp_path: Path, save: Save) -> None:
        booster().save_model(tmp_path / "model.json")
        report = export(save(booster()), tmp_path / "model.onnx", rows=100)
        assert "nothing is told of its training" in report.notes[0]

    def test_else_the_given_intervals_are_assumed_and_noted(self, tmp_path: Path, save: Save) -> None:
        report = export(save(booster()), tmp_path / "model.onnx", rows=100, intervals=("15m", "1h", "4h"))
        assert load(report.onnx).card.intervals == ("15m", "1h", "4h")
        assert report.notes == ("nothing is told of its training; taken for one on 15m, 1h, 4h",)

    def test_columns_of_other_names_are_taken_in_order_and_noted(self, tmp_path: Path, save: Save) -> None:
        report = export(save(booster(names=[f"my_{i}" for i in range(31)])), tmp_path / "model.onnx", rows=100)
        assert any("columns my_0 … my_30 are taken for" in note for note in report.notes)

    def test_a_schema_of_another_day_is_kept(self, tmp_path: Path, save: Save) -> None:
        model = booster()
        model.set_attr(tradebot=told(schema="0123abcd"))
        assert load(export(save(model), tmp_path / "model.onnx", rows=100).onnx).card.schema == "0123abcd"

    @pytest.mark.parametrize(
        ("text", "part"),
        [("{", "describes no model"), ("[]", "describes no model"), (told(threshold="high"), "threshold"),
         (told(intervals=5), "intervals")],
    )  # fmt: skip
    def test_nonsense_is_refused_and_named(self, tmp_path: Path, save: Save, text: str, part: str) -> None:
        model = booster()
        model.set_attr(tradebot=text)
        with pytest.raises(ModelError, match=f"attribute 'tradebot' of .*{part}"):
            export(save(model), tmp_path / "model.onnx")


def _reordered() -> Any:
    first, second, *rest = names(INTERVALS)
    return booster(names=[second, first, *rest])


def _two_targets() -> Any:
    import xgboost

    rows = numbers(400)
    targets = np.nan_to_num(rows[:, :2])
    settings = {"objective": "reg:squarederror", "tree_method": "hist", "nthread": 1}
    return xgboost.train(settings, xgboost.DMatrix(rows, targets), 3)


def _categorical() -> Any:
    import xgboost

    rows = np.nan_to_num(numbers(400))
    rows[:, 2] = np.arange(400) % 5
    kinds = ["c" if column == 2 else "float" for column in range(31)]
    matrix = xgboost.DMatrix(rows, (rows[:, 2] > 2).astype("f4"), feature_types=kinds, enable_categorical=True)
    return xgboost.train({"objective": "binary:logistic", "tree_method": "hist", "nthread": 1}, matrix, 3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: booster(width=12), "has 12 features, tradebot computes 31"),
        (_two_targets, "predicts several targets at once"),
        (lambda: booster(booster="gblinear"), "gblinear cannot be exported"),
        (lambda: booster(booster="dart", rate_drop=0.5), "dart cannot be exported"),
        (lambda: booster(rounds=0), "has no trees"),
        (_reordered, "in another order"),
        (_categorical, "categorical"),
    ],
    ids=["12 features", "two targets", "linear", "dart", "empty", "reordered", "categorical"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_exported_is_refused_with_the_reason(
    tmp_path: Path, save: Save, make: Callable[[], Any], reason: str
) -> None:
    source, target = save(make()), tmp_path / "model.onnx"
    with pytest.raises(ModelError, match=reason) as caught:
        export(source, target)
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists()


class TestBadFiles:
    @pytest.mark.parametrize("name", ["model.ubj", "model.json"])
    @pytest.mark.parametrize("raw", [b"", b"hello", b"{}", b'{"learner": {}}', b"\xff\xfe" * 99], ids=repr)
    def test_a_file_that_xgboost_cannot_read_is_named(self, tmp_path: Path, name: str, raw: bytes) -> None:
        source = tmp_path / name
        source.write_bytes(raw)
        with pytest.raises(ModelError, match=rf"{name}: not a model file that XGBoost .* reads; write one with"):
            export(source, tmp_path / "model.onnx")

    def test_one_that_was_cut_off_too(self, tmp_path: Path, save: Save) -> None:
        source = save(booster())
        source.write_bytes(source.read_bytes()[:-200])
        with pytest.raises(ModelError, match="not a model file"):
            export(source, tmp_path / "model.onnx")

    def test_and_one_that_is_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"old")
        with pytest.raises(ModelError, match=r"no XGBoost model .*gone\.ubj: No such file"):
            export(tmp_path / "gone.ubj", tmp_path / "model.onnx")


class TestWriting:
    def test_a_failed_export_leaves_the_old_target_and_nothing_else(self, tmp_path: Path, save: Save) -> None:
        target = tmp_path / "model.onnx"
        target.write_bytes(b"old")
        source = save(booster(width=12))
        before = sorted(tmp_path.iterdir())
        with pytest.raises(ModelError):
            export(source, target)
        assert target.read_bytes() == b"old"
        assert sorted(tmp_path.iterdir()) == before

    def test_a_target_that_cannot_be_replaced_leaves_no_half_written_file(self, tmp_path: Path, save: Save) -> None:
        target = tmp_path / "folder"
        target.mkdir()
        source = save(booster())
        before = sorted(tmp_path.iterdir())
        with pytest.raises(ModelError, match=r"cannot write .*folder"):
            export(source, target, rows=100)
        assert sorted(tmp_path.iterdir()) == before

    def test_the_source_is_never_written_over(self, save: Save) -> None:
        source = save(booster())
        raw = source.read_bytes()
        with pytest.raises(ModelError, match=r"is the XGBoost file itself"):
            export(source, source, rows=100)
        assert source.read_bytes() == raw

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path, save: Save) -> None:
        with pytest.raises(ModelError, match=r"cannot write .*nowhere/model\.onnx: No such file"):
            export(save(booster()), tmp_path / "nowhere" / "model.onnx", rows=100)

    def test_a_target_is_replaced_whole(self, tmp_path: Path, save: Save) -> None:
        target = tmp_path / "model.onnx"
        target.write_bytes(b"old")
        export(save(booster()), target, rows=100)
        assert load(str(target)).card.threshold == 0.5
        assert {path.name for path in tmp_path.iterdir()} == {"model.ubj", "model.onnx"}
