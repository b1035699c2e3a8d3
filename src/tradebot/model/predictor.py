"""A model: an ONNX file that carries its own description, and one batch through it.

What `tradebot export-onnx` writes is a plain ONNX file whose metadata says which columns it
wants and where it comes from (`Card`), and whose last bytes are a digest of all before them. A
file that was cut off or changed is therefore refused before ONNX Runtime sees it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.analysis.features import schema_hash
from tradebot.clock import DAY
from tradebot.config import without_telemetry
from tradebot.errors import ModelError
from tradebot.model.shelf import Shelf

Rows: TypeAlias = NDArray[np.float32]

WIDTH = 31
KEY = "tradebot"
PROBABILITY, VALUE = "probability", "value"
DEMO = "demo.onnx"
WARN_SHARE = 0.8
REMEDY = "export it again with tradebot export-onnx"
# The last bytes of a file: the protobuf of one more metadata entry, of fixed length.
_SEAL = b"\x72\x53\x0a\x0ftradebot.sha256\x12\x40"


@dataclass(frozen=True)
class Card:
    """What a model says of itself. Times are UTC ms, 0 where the training did not tell.

    `features` are the names of its 31 columns in order and `schema` the hash of their formulas;
    `threshold` is the least probability at which an entry was worth its fees in validation;
    `source_sha256` names the XGBoost file and `parity` is the largest difference from it; `output` is
    "probability", or "value" for a model that gives something else.
    """

    path: str
    sha256: str
    features: tuple[str, ...]
    schema: str
    intervals: tuple[str, ...]
    threshold: float
    trained_from: int
    trained_to: int
    strategy: str
    label: str
    source_sha256: str
    parity: float
    versions: dict[str, str]
    output: str = PROBABILITY


class Predictor:
    """An open model. `predict` is one batch on one thread: a row's result does not depend on its batch."""

    def __init__(self, path: str, raw: bytes) -> None:
        """From the bytes of a file; `path` is what errors and the card call it. `ModelError` if it is no model."""
        _check_seal(path, raw)
        self._session = session(path, raw)
        self._input, self._output = _ports(path, self._session)
        self.card = _card(path, raw, self._session.get_modelmeta().custom_metadata_map)

    def predict(self, rows: Rows) -> Rows:
        """Probabilities of success (or values) `(n,)` float32 of `(n, 31)` float32 rows; NaN is a missing value.

        Each row's is the same in whatever batch. `ModelError` for any other shape or dtype.
        """
        if rows.ndim != 2 or rows.shape[1] != WIDTH or rows.dtype != np.float32:
            raise ModelError(
                f"{self.card.path}: wants rows of {WIDTH} float32 features, was given {rows.dtype} {rows.shape}"
            )
        if not len(rows):
            return np.empty(0, np.float32)
        result: Rows = self._session.run([self._output], {self._input: np.ascontiguousarray(rows)})[0]
        return result.reshape(-1)


def load(path: str) -> Predictor:
    """The model in `path`, opened once in a process for each state of the file.

    `ModelError` for a file that is missing, damaged or not exported by tradebot.
    """
    try:
        state = Path(path).stat()
        return _load(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ModelError(
            f"no model {path}: {error.strerror}; make one with tradebot export-onnx or unset model.path"
        ) from None


@lru_cache(maxsize=4)
def _load(path: str, _mtime_ns: int, _size: int) -> Predictor:
    return Predictor(path, Path(path).read_bytes())


def predict_rows(path: str, rows: Rows) -> Rows:
    """`load(path).predict(rows)`, as one call that can be sent to a worker."""
    return load(path).predict(rows)


@cache
def demo_path() -> Path:
    """The demo model: in the checkout's `models/`, else in the installed package."""
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "models"
    return (checkout if (checkout / DEMO).is_file() else package / "models") / DEMO


def resolve(setting: str, models: Path) -> Path:
    """The file that `model.path` means: empty is the current one on the shelf `models`, else the demo model.

    `ModelError` if there is none.
    """
    path = Path(setting).expanduser() if setting else Shelf(models).current() or demo_path()
    if not path.is_file():
        raise ModelError(f"no model {path}; make one with tradebot train or export-onnx, or unset model.path")
    return path


def check_schema(card: Card, intervals: Sequence[str]) -> None:
    """`ModelError` if the features of these intervals are not the ones that the model was trained on."""
    ours = schema_hash(intervals)
    if card.schema != ours:
        elsewhere = "" if tuple(intervals) == card.intervals else "set market.intervals or "
        raise ModelError(
            f"{card.path}: trained on features {card.schema} ({', '.join(card.intervals)}), this configuration "
            f"computes {ours} ({', '.join(intervals)}); {elsewhere}train again"
        )


def check_output(card: Card) -> None:
    """`ModelError` if a model gives no probability, which is what trading asks for."""
    if card.output != PROBABILITY:
        raise ModelError(
            f"{card.path}: gives a {card.output}, not a probability of success; train with binary:logistic to trade"
        )


def check_age(card: Card, now: int, max_age_days: float) -> str | None:
    """A warning about a model whose training data ends long before `now` (UTC ms), from 80% of the limit on.

    `ModelError` beyond the limit; 0 is no limit.
    """
    if not max_age_days:
        return None
    if not card.trained_to:
        return f"model {card.path} does not say when its training data ends; its age is not checked"
    age = (now - card.trained_to) / DAY
    told = f"model {card.path} is {age:.1f} days old, of {max_age_days:g} allowed (model.max_age_days)"
    if age > max_age_days:
        raise ModelError(f"{told}; train it anew")
    return told if age > WARN_SHARE * max_age_days else None


def seal(body: bytes) -> bytes:
    """`body` (an ONNX file) with the digest that `Predictor` looks for; still an ONNX file."""
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode()


def _check_seal(path: str, raw: bytes) -> None:
    body, mark, digest = raw[: -len(_SEAL) - 64], raw[-len(_SEAL) - 64 : -64], raw[-64:]
    if mark != _SEAL:
        raise ModelError(f"{path}: cut off, or not made by tradebot; {REMEDY}")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ModelError(f"{path}: damaged (its digest does not match); {REMEDY}")


def session(path: str, raw: bytes) -> Any:
    """An ONNX Runtime session on one thread; `ModelError` where ONNX Runtime will not have the bytes."""
    without_telemetry()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    # With two threads the sums over trees, and so the last bits, would depend on how a batch is cut.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
        state.RuntimeException,
    ) as error:  # fmt: skip
        reason = str(error).rsplit(" : ", maxsplit=1)[-1].splitlines()[0]
        raise ModelError(f"{path}: not an ONNX model that can be run: {reason}; {REMEDY}") from None


def _ports(path: str, opened: Any) -> tuple[str, str]:
    """Names of the one input and the one output; `ModelError` if they are of another kind."""
    inputs, outputs = opened.get_inputs(), opened.get_outputs()
    wants = [(port.type, port.shape[1:]) for port in inputs]
    gives = [(port.type, port.shape[1:]) for port in outputs]
    if wants != [("tensor(float)", [WIDTH])] or gives not in ([("tensor(float)", [1])], [("tensor(float)", [])]):
        raise ModelError(f"{path}: maps {wants} to {gives}, not {WIDTH} floats to one probability; {REMEDY}")
    return inputs[0].name, outputs[0].name


def _card(path: str, raw: bytes, metadata: dict[str, str]) -> Card:
    try:
        told = json.loads(metadata[KEY])
        told = {
            field.name: told[field.name] if field.default is MISSING else told.get(field.name, field.default)
            for field in fields(Card)[2:]
        }
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{path}: says nothing of its features; {REMEDY}") from None
    told["features"], told["intervals"] = tuple(told["features"]), tuple(told["intervals"])
    return Card(path=path, sha256=hashlib.sha256(raw).hexdigest(), **told)
