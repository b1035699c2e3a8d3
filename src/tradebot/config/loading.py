"""Where settings come from: built-in defaults, then config.toml, then the environment, then the command line.

An unknown key or a bad value is a `ConfigError` that names the key, the value, the source and the nearest
right name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from tradebot.config.settings import Settings
from tradebot.errors import ConfigError, suggestion

PREFIX = "TRADEBOT_"
SECRETS = ("TRADEBOT_API_KEY", "TRADEBOT_API_SECRET")
RESERVED = {"TRADEBOT_CONFIG", "TRADEBOT_DATA_DIR", *SECRETS}
RENAMED = {"run.max_bar_age_s": "risk.max_bar_age, in bars of the finest interval,"}
"""Keys of before, and what they are now."""

Tree: TypeAlias = dict[str, Any]
Layer: TypeAlias = tuple[str, Tree]


def inherited_environment() -> dict[str, str]:
    """The environment without our own variables, for a process that must not take them over."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def without_telemetry() -> None:
    """Call before ONNX Runtime is imported: it would tell its maker of every model, and mark the home folder."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def without_algebra_threads() -> None:
    """Call before numpy is imported, which would start a thread a CPU for large matrices, at 0.05 s of CPU and more.

    Nothing here has such; who has them in a strategy sets the variable.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def environment_secrets(environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The API key and its secret, empty where they are not set."""
    key, secret = ((os.environ if environ is None else environ).get(name, "") for name in SECRETS)
    return key, secret


def find_file(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: `--config`, $TRADEBOT_CONFIG, ./config.toml, the user's; else none.

    One that is asked for and missing is a `ConfigError`; the others may be absent.
    """
    asked = option or environ.get("TRADEBOT_CONFIG")
    if asked:
        if not Path(asked).is_file():
            raise ConfigError(
                f"no configuration file {asked}; leave --config and $TRADEBOT_CONFIG out for the defaults"
            )
        return Path(asked)
    if Path("config.toml").is_file():
        return Path("config.toml")
    import platformdirs

    users = Path(platformdirs.user_config_dir("tradebot")) / "config.toml"
    return users if users.is_file() else None


def read_file(path: Path) -> Layer:
    """The file's tables; `ConfigError` with line and column if it is not TOML."""
    try:
        return str(path), tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin it with a mark
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} line {line}: is not UTF-8; save the file in that encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def nest(flat: Mapping[str, Any]) -> Tree:
    """`{"venue.name": x}` as `{"venue": {"name": x}}`."""
    tree: Tree = {}
    for dotted, value in flat.items():
        *path, last = dotted.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree


def read_environment(environ: Mapping[str, str]) -> Iterator[Layer]:
    """A layer for each `TRADEBOT_SECTION__KEY`; the data folder has a short name of its own."""
    for name, value in sorted(environ.items()):
        if name == "TRADEBOT_DATA_DIR":
            yield f"${name}", {"data_dir": value}
        elif name.startswith(PREFIX) and name not in RESERVED:
            yield f"${name}", nest({name.removeprefix(PREFIX).lower().replace("__", "."): value})


def merge(base: Tree, over: Tree) -> Tree:
    """`over` laid on `base`, table by table."""
    both = {
        key: merge(base[key], over[key])
        for key in base.keys() & over.keys()
        if isinstance(base[key], dict) and isinstance(over[key], dict)
    }
    return {**base, **over, **both}


def _given(tree: Tree, prefix: str = "") -> Iterator[str]:
    """The dotted keys and tables of a tree."""
    for name, value in tree.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _given(value, f"{prefix}{name}.")


def _source(layers: Sequence[Layer], loc: Sequence[str | int]) -> str:
    """The last layer that holds the value at `loc`."""
    for source, tree in reversed(layers):
        node: Any = tree
        for part in loc:
            if not isinstance(node, dict) or part not in node:
                break
            node = node[part]
        else:
            return source
    return layers[-1][0] if layers else "defaults"


def _siblings(loc: Sequence[str | int]) -> list[str]:
    """The names that are known where `loc` stands."""
    model: Any = Settings
    for part in loc[:-1]:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def _explain(error: ValidationError, layers: Sequence[Layer]) -> ConfigError:
    first = error.errors()[0]
    loc = [part for part in first["loc"] if not isinstance(part, int) and part != "[key]"]
    key, where = ".".join(map(str, loc)), _source(layers, loc)
    if first["type"] == "extra_forbidden":
        better = f"; it is {RENAMED[key]} now" if key in RENAMED else suggestion(str(loc[-1]), _siblings(loc))
        return ConfigError(f"{where}: unknown key '{key}'{better}")
    cause = first.get("ctx", {}).get("error")
    reason = str(cause) if isinstance(cause, ValueError) else first["msg"][:1].lower() + first["msg"][1:]
    if "[key]" in first["loc"]:
        return ConfigError(f"{where}: unknown key '{key}': {reason}")
    if first["type"] in ("model_type", "model_attributes_type"):
        reason = f"is a section; set one of its keys, as {key}.{_siblings([*loc, ''])[0]}"
    if first["type"] == "dict_type":
        reason = f"is a table; set one of its keys, as {key}.NAME"
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return ConfigError(f"{where}: {key}{value}: {reason}")


def load(
    config: str | None = None,
    options: Mapping[str, tuple[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force.

    `options` are the command line's: by dotted key, what messages call them and their value,
    e.g. `{"venue.name": ("--venue", "binance")}`; a value of None means not given.
    """
    environ = os.environ if environ is None else environ
    path = find_file(config, environ)
    layers = [read_file(path)] if path else []
    layers += read_environment(environ)
    layers += [(label, nest({key: value})) for key, (label, value) in (options or {}).items() if value is not None]
    tree: Tree = {}
    for _, layer in layers:
        tree = merge(tree, layer)
    try:
        return Settings.model_validate(tree, context={key: source for source, layer in layers for key in _given(layer)})
    except ValidationError as error:
        raise _explain(error, layers) from None
