"""What one process asks of the one that trades."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradebot.clock import wall_ms
from tradebot.errands import FOLDER, Errand, Errands
from tradebot.errors import TradingError

LATER = wall_ms() + 600_000


@pytest.fixture
def errands(tmp_path: Path) -> Errands:
    return Errands(tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in (folder / FOLDER).glob("*"))


def test_an_errand_is_taken_answered_and_leaves_nothing_behind(errands: Errands, tmp_path: Path) -> None:
    errand = Errand("close", ("AUSDT",), LATER)
    asked = errands.ask(errand)
    assert asked.answer() is None
    ((taken, place),) = errands.take()
    assert taken == errand
    assert list(errands.take()) == [], "it is taken once"
    assert asked.answer() is None
    errands.answer(place, {"orders": []})
    assert asked.answer() == {"orders": []}
    assert (asked.answer(), files(tmp_path)) == (None, [])


def test_errands_are_taken_in_the_order_in_which_they_came(errands: Errands) -> None:
    for symbol in "CAB":
        errands.ask(Errand("close", (symbol,), LATER))
    assert [errand.symbols for errand, _ in errands.take()] == [("C",), ("A",), ("B",)]


def test_what_is_withdrawn_is_never_taken_and_what_is_taken_is_not_withdrawn(errands: Errands, tmp_path: Path) -> None:
    assert errands.ask(Errand("close", (), LATER)).withdraw()
    assert (list(errands.take()), files(tmp_path)) == ([], [])
    asked = errands.ask(Errand("close", (), LATER))
    assert len(list(errands.take())) == 1
    assert not asked.withdraw()


def test_an_errand_whose_asker_gave_up_long_ago_is_not_carried_out(errands: Errands, tmp_path: Path) -> None:
    errands.ask(Errand("close", (), wall_ms() - 1))
    assert (list(errands.take()), files(tmp_path)) == ([], [])


@pytest.mark.parametrize("content", [b"", b"{}", b'{"kind": "close"', b"[1]", b'{"kind":1,"symbols":2,"until":3}'])
def test_what_is_no_errand_is_removed(errands: Errands, tmp_path: Path, content: bytes) -> None:
    errands.ask(Errand("close", (), LATER)).withdraw()
    (tmp_path / FOLDER / "x.asked").write_bytes(content)
    assert (list(errands.take()), files(tmp_path)) == ([], [])


def test_without_a_folder_there_is_nothing_to_do(errands: Errands) -> None:
    assert list(errands.take()) == []


def test_its_folder_is_the_owners_alone(errands: Errands, tmp_path: Path) -> None:
    errands.ask(Errand("close", (), LATER))
    assert (tmp_path / FOLDER).stat().st_mode & 0o077 == 0


def test_a_disk_that_cannot_be_written_is_told(errands: Errands, tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    with pytest.raises(TradingError, match="could not be asked"):
        errands.ask(Errand("close", (), LATER))
