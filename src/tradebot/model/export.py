"""Any XGBoost file of trees over the 31 features → a described ONNX file that is proven to say the same.

onnxmltools converts; the graph is then reduced to one output `(n,)`, and compared with XGBoost (see
`parity`). A model that fails the comparison is not written. The output is `probability` for a
classifier, of the class that means success, and `value` for everything else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tradebot.analysis import features
from tradebot.errors import ModelError
from tradebot.model.parity import compare, sample
from tradebot.model.predictor import KEY, PROBABILITY, VALUE, WIDTH, Predictor, Rows, seal, session

INTERVALS = ("5m", "15m", "1h")
CLASSIFIERS = ("binary:logistic", "reg:logistic", "multi:softprob")
SAME = {"multi:softmax": "multi:softprob"}  # the same trees, which only name the likeliest class
_OPSETS = {"": 13, "ai.onnx.ml": 1}


@dataclass(frozen=True)
class Told:
    """What a training tells of its model, kept as JSON in the booster's attribute `tradebot`; see `Card`."""

    intervals: tuple[str, ...]
    schema: str = ""
    threshold: float = 0.5
    trained_from: int = 0
    trained_to: int = 0
    strategy: str = ""
    label: str = "unknown"


@dataclass(frozen=True)
class Report:
    """What was exported. `max_abs_diff` is over `rows_checked` rows; `notes` are assumptions that were made."""

    source: str
    onnx: str
    features: int
    rows_checked: int
    max_abs_diff: float
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """An XGBoost model as it is exported: the trees up to the best iteration, and what they mean.

    `output` is "probability" or "value"; `success` is the column of a classifier's class.
    """

    booster: Any
    output: str
    success: int

    def predict(self, rows: Rows) -> Rows:
        """What XGBoost says, `(n,)`, by the path that `predict_proba` takes: DMatrix refuses infinities."""
        found: Rows = self.booster.inplace_predict(rows)
        return found[:, self.success] if found.ndim == 2 else found


def export(
    source: Path,
    target: Path,
    *,
    rows: int = 10_000,
    seed: int = 0,
    intervals: Sequence[str] = INTERVALS,
    success: int | None = None,
) -> Report:
    """Write the ONNX twin of `source` to `target`, checked on at least `rows` rows; the same bytes each time.

    What the training told of the model is taken from the booster's attribute `tradebot` (JSON)
    or from a JSON file of the same stem beside it; `intervals` count where it told nothing. Only
    the trees up to the best iteration are taken. Of several classes `success` is the one whose
    probability is given, by default the last. `ModelError` if the file cannot be read, is not a
    model of 31 numbers, or its twin differs by more than 1e-5; `target` is then left as it was.
    """
    if source.exists() and target.exists() and target.samefile(source):
        raise ModelError(f"{target}: is the XGBoost file itself; name another one for the ONNX file")
    booster, learner, digest = _read(source)
    told, notes = _told(source, booster, tuple(intervals))
    names = _names(source, booster, told.intervals, notes)
    model = _meant(str(source), _plain(booster), learner, success, notes)
    graph = _convert(str(source), model)
    samples = sample(model.booster, rows, seed)
    twin = _run(str(source), graph.SerializeToString(), model.output, samples)
    worst = compare(str(source), names, samples, model.predict(samples), twin)
    known = {"features": names, "source_sha256": digest, "parity": worst, "versions": _versions()}
    if model.output != PROBABILITY:  # a card that does not say is one of a probability
        known["output"] = model.output
    raw = _describe(graph, {**asdict(told), **known})
    card = Predictor(str(target), raw).card
    _write(target, raw)
    return Report(str(source), str(target), WIDTH, len(samples), worst, card.sha256, tuple(notes))


def _read(source: Path) -> tuple[Any, dict[str, Any], str]:
    """Booster, its configuration, and the digest of its file; `ModelError` unless it is of trees over 31 numbers."""
    import xgboost

    try:
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        booster = xgboost.Booster({"nthread": 1}, model_file=str(source))
        learner = json.loads(booster.save_config())["learner"]
    except OSError as error:
        raise ModelError(f"no XGBoost model {source}: {error.strerror}") from None
    except (xgboost.core.XGBoostError, UnicodeDecodeError, ValueError):
        raise ModelError(
            f"{source}: not a model file that XGBoost {xgboost.__version__} reads; "
            "write one with booster.save_model('model.ubj')"
        ) from None
    if reason := _unfit(booster, learner):
        raise ModelError(f"{source}: {reason}")
    return booster, learner, digest


def _unfit(booster: Any, learner: dict[str, Any]) -> str:
    """Why a booster cannot be exported; empty if it can."""
    if learner["gradient_booster"]["name"] != "gbtree":
        return f"boosters of kind {learner['gradient_booster']['name']} cannot be exported; train with gbtree"
    if booster.num_features() != WIDTH:
        return f"has {booster.num_features()} features, tradebot computes {WIDTH}"
    if "c" in (booster.feature_types or ()):
        return "has categorical splits, tradebot's features are all numbers"
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        return "predicts several targets at once; export one model for each"
    return "" if booster.num_boosted_rounds() else "has no trees"


def _told(source: Path, booster: Any, intervals: tuple[str, ...]) -> tuple[Told, list[str]]:
    """What the training told, completed; and a note for what had to be assumed."""
    beside = source.with_suffix(".json")
    text, origin, notes = booster.attr(KEY), f"attribute '{KEY}' of {source}", []
    if text is None and beside != source and beside.is_file() and not _is_booster(beside.read_bytes()):
        text, origin = beside.read_text(encoding="utf-8"), str(beside)
    if text is None:
        told = Told(intervals)
        notes.append(f"nothing is told of its training; taken for one on {', '.join(intervals)}")
    else:
        told = _parse(text, origin)
    return (told if told.schema else replace(told, schema=features.schema_hash(told.intervals))), notes


def _is_booster(content: bytes) -> bool:
    """Whether a JSON file is the model once more, as XGBoost writes it, and so tells nothing of its training."""
    return content.lstrip(b"{ \n").startswith(b'"learner"')


def _parse(text: str, origin: str) -> Told:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Told).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"{origin}: describes no model: {where + ': ' if where else ''}{first['msg']}") from None


def _names(source: Path, booster: Any, intervals: Sequence[str], notes: list[str]) -> list[str]:
    """The 31 columns in tradebot's order; `ModelError` if the booster has the same in another order."""
    ours, theirs = list(features.names(intervals)), booster.feature_names
    if theirs and sorted(theirs) == sorted(ours) and list(theirs) != ours:
        raise ModelError(
            f"{source}: has its features in another order than tradebot ({theirs[0]} before {theirs[1]} …)"
        )
    if theirs and list(theirs) != ours:
        notes.append(f"columns {theirs[0]} … {theirs[-1]} are taken for {ours[0]} … {ours[-1]}")
    return ours


def _plain(booster: Any) -> Any:
    """The trees up to the best iteration, without names and attributes, which the converter would stumble on."""
    best = booster.attr("best_iteration")
    plain = booster[: int(best) + 1] if best is not None else booster.copy()
    plain.set_attr(**dict.fromkeys(plain.attributes()))
    plain.feature_names = plain.feature_types = None
    plain.set_param({"nthread": 1})
    return plain


def _meant(source: str, booster: Any, learner: dict[str, Any], success: int | None, notes: list[str]) -> _Source:
    """What the model's numbers mean, with a note where that is an assumption."""
    objective = learner["learner_train_param"]["objective"]
    if objective in SAME:
        objective = SAME[objective]
        booster.set_param({"objective": objective})
    if objective not in CLASSIFIERS:
        notes.append(
            f"{objective} gives a value, not a probability: predict --input shows it, run does not trade on it"
        )
        return _Source(booster, VALUE, 0)
    classes = max(int(learner["learner_model_param"]["num_class"]), 2)
    chosen = classes - 1 if success is None else success
    if not 0 <= chosen < classes:
        raise ModelError(f"{source}: has classes 0 to {classes - 1}, not {chosen}; see --class")
    if classes > 2:
        notes.append(f"class {chosen} of {classes} is taken for success; --class names another")
    return _Source(booster, PROBABILITY, chosen)


def _convert(source: str, model: _Source) -> Any:
    """The ONNX model: what the converter made of the trees, and the one column of it that counts."""
    import onnxmltools
    import xgboost
    from onnx import TensorProto, helper
    from onnxmltools.convert.common.data_types import FloatTensorType

    chances = model.output == PROBABILITY
    wrapper = xgboost.XGBClassifier() if chances else xgboost.XGBRegressor()
    wrapper.load_model(bytearray(model.booster.save_raw("ubj")))
    try:
        made = onnxmltools.convert_xgboost(
            wrapper, name=KEY, initial_types=[("features", FloatTensorType([None, WIDTH]))]
        ).graph
    except (RuntimeError, ValueError, IndexError, KeyError) as error:
        raise ModelError(f"{source}: onnxmltools cannot convert it: {error}") from None
    if chances:
        nodes, whole, pick = [made.node[0]], made.node[0].output[1], "Gather"
        column = helper.make_tensor("success", TensorProto.INT64, [], [model.success])
    else:
        nodes, whole, pick = list(made.node), made.output[0].name, "Reshape"
        column = helper.make_tensor("success", TensorProto.INT64, [1], [-1])
    picked = helper.make_node(pick, [whole, "success"], [model.output])
    if chances:
        picked.attribute.append(helper.make_attribute("axis", 1))
    graph = helper.make_graph(
        [*nodes, picked],
        KEY,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info(model.output, TensorProto.FLOAT, ["n"])],
        [column, *([] if chances else made.initializer)],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name=KEY)


def _run(source: str, raw: bytes, output: str, rows: Rows) -> Rows:
    result: Rows = session(source, raw).run([output], {"features": rows})[0]
    return result


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import xgboost

    libraries = {name: version(name) for name in ("onnx", "onnxmltools", "onnxruntime")}
    return {**libraries, "xgboost": xgboost.__version__}


def _describe(graph: Any, told: dict[str, Any]) -> bytes:
    """The file: the graph, its description, and the digest of both as the last entry."""
    from onnx import helper

    helper.set_model_props(graph, {KEY: json.dumps(told, sort_keys=True)})
    return seal(graph.SerializeToString(deterministic=True))


def _write(target: Path, raw: bytes) -> None:
    """Whole or not at all: a temporary file in the same folder, flushed, then renamed."""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            try:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)
                Path(file.name).replace(target)
            finally:
                Path(file.name).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"cannot write {target}: {error.strerror}") from None
