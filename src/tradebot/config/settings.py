"""All that can be set, as one value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PrivateAttr

from tradebot.config.sections import (
    Keys,
    Market,
    Model,
    Paper,
    Pool,
    Risk,
    Run,
    Section,
    Sim,
    Strategy,
    Trading,
    Training,
    Universe,
    Venue,
)  # fmt: skip
from tradebot.errors import ConfigError, UsageError


class Settings(Section):
    """All of config.toml."""

    data_dir: str = Field("", description="Where the program writes; empty: the platform's user data folder.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="What stderr shows.")
    venue: Venue = Venue()
    universe: Universe = Universe()
    market: Market = Market()
    sim: Sim = Sim()
    strategy: Strategy = Strategy()
    training: Training = Training()
    model: Model = Model()
    pool: Pool = Pool()
    keys: Keys = Keys()
    trading: Trading = Trading()
    risk: Risk = Risk()
    paper: Paper = Paper()
    run: Run = Run()
    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, places: Any) -> None:
        """Keep where each key was given, as `load` tells it."""
        self._places = places or {}

    @contextmanager
    def blaming(self, key: str, kind: type[UsageError] = UsageError) -> Iterator[None]:
        """For what only others can judge: such an error within is told with `key` and where its value came from."""
        try:
            yield
        except kind as error:
            if place := self._places.get(key):
                raise type(error)(f"{place}: {key}: {error}") from None
            raise

    @property
    def models(self) -> Path:
        """Where trained models stand."""
        return self.data_path / "models"

    @property
    def data_path(self) -> Path:
        """The data folder, made with mode 0700 if it is not there."""
        import platformdirs

        path = Path(self.data_dir or platformdirs.user_data_dir("tradebot")).expanduser()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reason = "is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise ConfigError(f"data folder {path}: {reason}; name another with --data-dir") from None
        return path


def leaves(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of config.toml as `section.key` with its pydantic field."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, field
