"""A model answers the same for a row whatever batch it comes in, and is refused when it is not what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boosters import numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.analysis.features import names, schema_hash
from tradebot.clock import DAY
from tradebot.errors import ModelError
from tradebot.model.predictor import (
    Predictor,
    check_age,
    check_output,
    check_schema,
    demo_path,
    load,
    predict_rows,
    resolve,
    seal,
)

INTERVALS = ("5m", "15m", "1h")
ROWS = numbers(300, seed=5)


def onnx_file(inputs: int = 31, metadata: bool = True, kind: int = 1) -> bytes:
    """A sealed ONNX file that sums its inputs."""
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=1)],
        "sum",
        [helper.make_tensor_value_info("x", kind, ["n", inputs])],
        [helper.make_tensor_value_info("y", kind, ["n", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    if metadata:
        helper.set_model_props(model, {"tradebot": '{"features": []}'})
    return seal(model.SerializeToString())


def test_models_are_run_without_a_word_to_anybody(tmp_path: Path) -> None:
    # Its telemetry keeps the id of the machine and what is to be sent in the home folder; it is silent where CI is.
    work = "from tradebot.model.predictor import demo_path, load; load(str(demo_path()))"
    environment = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("ORT_")}
    subprocess.run([sys.executable, "-c", work], env=environment | {"HOME": str(tmp_path)}, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


class TestPredict:
    def test_gives_one_probability_a_row(self, exported: Path) -> None:
        result = load(str(exported)).predict(ROWS)
        assert result.shape == (300,)
        assert result.dtype == np.float32
        assert ((result > 0) & (result < 1)).all()
        assert result.std() > 0.05

    @settings(max_examples=60, deadline=None)
    @given(cuts=st.lists(st.integers(0, len(ROWS)), max_size=12), order=st.randoms(use_true_random=False))
    def test_a_row_gives_the_same_bits_in_any_batch(self, exported: Path, cuts: list[int], order: object) -> None:
        model = load(str(exported))
        place = list(range(len(ROWS)))
        order.shuffle(place)  # type: ignore[attr-defined]
        parts = np.split(ROWS[place], sorted(cuts))
        pieces = np.concatenate([model.predict(part) for part in parts])
        assert pieces.tobytes() == model.predict(ROWS)[place].tobytes()

    def test_every_row_alone_gives_the_same_bits(self, exported: Path) -> None:
        model = load(str(exported))
        alone = np.concatenate([model.predict(row[None]) for row in ROWS])
        assert alone.tobytes() == model.predict(ROWS).tobytes()

    def test_no_rows_give_no_probabilities(self, exported: Path) -> None:
        result = load(str(exported)).predict(np.empty((0, 31), np.float32))
        assert result.shape == (0,)
        assert result.dtype == np.float32

    def test_takes_rows_that_are_not_contiguous(self, exported: Path) -> None:
        model = load(str(exported))
        assert (model.predict(np.asfortranarray(ROWS)) == model.predict(ROWS)).all()
        assert (model.predict(ROWS[::3]) == model.predict(ROWS)[::3]).all()

    @pytest.mark.parametrize(
        "rows",
        [np.zeros((3, 30), np.float32), np.zeros((3, 32), np.float32), np.zeros(31, np.float32), np.zeros((3, 31))],
        ids=["narrow", "wide", "flat", "float64"],
    )
    def test_refuses_rows_of_another_shape_or_dtype(self, exported: Path, rows: np.ndarray) -> None:
        with pytest.raises(ModelError, match="wants rows of 31 float32 features"):
            load(str(exported)).predict(rows)


class TestLoad:
    def test_opens_a_file_once_until_it_changes(self, exported: Path, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(exported.read_bytes())
        first = load(str(path))
        assert load(str(path)) is first
        os.utime(path, ns=(1, 1))
        assert load(str(path)) is not first

    def test_a_worker_predicts_by_path(self, exported: Path) -> None:
        assert (predict_rows(str(exported), ROWS) == load(str(exported)).predict(ROWS)).all()

    def test_the_card_tells_what_the_file_is(self, exported: Path) -> None:
        card = load(str(exported)).card
        assert card.path == str(exported)
        assert card.features == tuple(names(INTERVALS))
        assert card.schema == schema_hash(INTERVALS)
        assert card.intervals == INTERVALS
        assert card.threshold == 0.5
        assert len(card.sha256) == len(card.source_sha256) == 64

    def test_a_missing_file_is_named_with_a_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"no model .*gone\.onnx: .*tradebot export-onnx"):
            load(str(tmp_path / "gone.onnx"))

    def test_a_folder_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="no model"):
            load(str(tmp_path))

    @pytest.mark.parametrize("raw", [b"", b"hello", b"\x08\x08" * 500], ids=["empty", "text", "noise"])
    def test_a_file_that_is_no_onnx_is_refused(self, tmp_path: Path, raw: bytes) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(raw)
        with pytest.raises(ModelError, match=r"model\.onnx: .*export it again with tradebot export-onnx"):
            load(str(path))

    @settings(max_examples=40, deadline=None)
    @given(share=st.floats(0, 1, exclude_max=True))
    def test_a_file_that_was_cut_off_anywhere_is_refused(self, exported: Path, share: float) -> None:
        raw = exported.read_bytes()
        with pytest.raises(ModelError, match="cut off"):
            Predictor("model.onnx", raw[: int(share * len(raw))])

    @settings(max_examples=40, deadline=None)
    @given(share=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
    def test_a_file_with_one_other_byte_is_refused(self, exported: Path, share: float, change: int) -> None:
        raw = bytearray(exported.read_bytes())
        raw[int(share * len(raw))] ^= change
        with pytest.raises(ModelError, match=r"damaged|not made by tradebot"):
            Predictor("model.onnx", bytes(raw))

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (seal(b"no protobuf at all"), "not an ONNX model that can be run"),
            (onnx_file(inputs=12), "not 31 floats to one probability"),
            (onnx_file(kind=11), "not 31 floats to one probability"),
            (onnx_file(metadata=False), "says nothing of its features"),
            (onnx_file(), "says nothing of its features"),
        ],
        ids=["no protobuf", "12 inputs", "doubles", "no metadata", "poor metadata"],
    )
    def test_a_whole_file_of_another_kind_is_refused_with_the_reason(self, raw: bytes, reason: str) -> None:
        with pytest.raises(ModelError, match=reason) as caught:
            Predictor("other.onnx", raw)
        assert str(caught.value).startswith("other.onnx: ")
        assert "\n" not in str(caught.value)


class TestSchema:
    def test_the_intervals_of_the_training_pass(self, exported: Path) -> None:
        check_schema(load(str(exported)).card, INTERVALS)

    def test_others_are_refused_and_both_are_named(self, exported: Path) -> None:
        others = ("1m", "5m", "15m")
        with pytest.raises(ModelError) as caught:
            check_schema(load(str(exported)).card, others)
        for part in (schema_hash(INTERVALS), schema_hash(others), "5m, 15m, 1h", "1m, 5m, 15m"):
            assert part in str(caught.value)


class TestAge:
    CARD = load(str(demo_path())).card
    END = CARD.trained_to

    def test_without_a_limit_no_model_is_too_old(self) -> None:
        assert check_age(self.CARD, self.END + 9_999 * DAY, 0) is None

    def test_a_young_one_passes_and_one_near_the_limit_is_warned_of(self) -> None:
        assert check_age(self.CARD, self.END + 20 * DAY, 30) is None
        told = check_age(self.CARD, self.END + 25 * DAY, 30)
        assert told is not None
        assert "is 25.0 days old, of 30 allowed (model.max_age_days)" in told

    def test_an_old_one_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(ModelError, match=r"is 31\.0 days old, of 30 allowed .*; train it anew"):
            check_age(self.CARD, self.END + 31 * DAY, 30)

    def test_one_that_does_not_tell_its_age_is_warned_of(self) -> None:
        told = check_age(replace(self.CARD, trained_to=0), self.END, 30)
        assert told is not None
        assert "does not say when its training data ends" in told


class TestOutput:
    def test_a_value_is_not_traded_on(self) -> None:
        card = load(str(demo_path())).card
        check_output(card)
        with pytest.raises(ModelError, match="gives a value, not a probability of success"):
            check_output(replace(card, output="value"))


class TestPlaces:
    def test_an_empty_setting_is_the_demo_model(self) -> None:
        assert resolve("", Path("nowhere")) == demo_path()

    def test_a_path_is_taken_as_it_is(self, exported: Path) -> None:
        assert resolve(str(exported), Path("nowhere")) == exported

    def test_a_path_to_nothing_is_refused(self) -> None:
        with pytest.raises(ModelError, match=r"no model no/such\.onnx"):
            resolve("no/such.onnx", Path("nowhere"))

    def test_the_demo_model_fits_the_features_of_today(self) -> None:
        card = load(str(demo_path())).card
        check_schema(card, card.intervals)
        assert card.features == tuple(names(card.intervals))

    def test_importing_and_predicting_needs_neither_pandas_nor_xgboost(self) -> None:
        code = (
            f"import sys, numpy; from tradebot.model import predictor as p; assert 'onnxruntime' not in sys.modules;"
            f"p.predict_rows({str(demo_path())!r}, numpy.zeros((2, 31), 'f4'));"
            "print(*sorted({'pandas', 'xgboost', 'sklearn', 'onnx', 'onnxmltools', 'scipy'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ""
