from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dealing import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Makes offices in the test's own folder and closes their journals."""
    made: list[Office] = []

    def make(*symbols: str, **options: object) -> Office:
        made.append(Office(tmp_path, *symbols, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.journal.close()
