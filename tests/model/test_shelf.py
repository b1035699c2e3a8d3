"""Models appear whole, the pointer moves in one step, and old models stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradebot.errors import ModelError
from tradebot.model.shelf import Shelf


def put(shelf: Shelf, name: str, text: str = "model") -> Path:
    with shelf.desk() as desk:
        (desk / "model.onnx").write_text(text)
        (desk / "card.json").write_text("{}")
        return shelf.put(desk, name)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models")


def test_a_shelf_that_is_not_there_has_no_current_model_and_is_not_made(shelf: Shelf) -> None:
    assert shelf.current() is None
    assert not shelf.folder.exists()


def test_a_model_is_put_and_pointed_to_and_the_old_one_stays(shelf: Shelf) -> None:
    for name in ("one", "two"):
        put(shelf, name, name)
        shelf.point_to(name)
    assert shelf.current() == shelf.folder / "two" / "model.onnx"
    assert sorted(path.name for path in shelf.folder.iterdir()) == ["current", "one", "two"]
    shelf.point_to("one")
    assert shelf.current() == shelf.folder / "one" / "model.onnx"


def test_a_model_that_is_put_is_not_current(shelf: Shelf) -> None:
    put(shelf, "one")
    assert shelf.current() is None


def test_what_breaks_off_leaves_nothing(shelf: Shelf) -> None:
    def interrupted() -> None:
        with shelf.desk() as desk:
            (desk / "model.onnx").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(shelf.folder.iterdir()) == []


def test_the_same_model_again_replaces_its_files(shelf: Shelf) -> None:
    put(shelf, "one", "old")
    place = put(shelf, "one", "new")
    assert (place / "model.onnx").read_text() == "new"
    assert sorted(path.name for path in shelf.folder.iterdir()) == ["one"]


@pytest.mark.parametrize("content", [b"gone\n", b"", b"\n", b"\xff\xfe", b"../../etc\n"])
def test_a_pointer_to_nothing_is_an_error_not_another_model(shelf: Shelf, content: bytes) -> None:
    put(shelf, "one")
    (shelf.folder / "current").write_bytes(content)
    with pytest.raises(ModelError, match="current"):
        shelf.current()


def test_a_place_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"models .*file.*--data-dir"), Shelf(tmp_path / "file").desk():
        pytest.fail("there is no desk")


def test_a_pointer_that_cannot_be_replaced_stays_and_leaves_no_half_written_file(shelf: Shelf) -> None:
    put(shelf, "one")
    (shelf.folder / "current").mkdir()
    with pytest.raises(ModelError, match="models"):
        shelf.point_to("one")
    assert sorted(path.name for path in shelf.folder.iterdir()) == ["current", "one"]
