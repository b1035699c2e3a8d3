"""How far long work has come: told to whoever looks, decided elsewhere who that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage's name, how much of it is done, and of how much."""


def unseen(stage: str, done: int, of: int) -> None:
    """Progress that nobody looks at."""
