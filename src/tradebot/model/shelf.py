"""Where trained models stand: a folder each, and a pointer to the current one.

    models/trend-20180124-1a2b3c4d/   model.ubj  model.onnx  card.json  card.md  report.html
    models/current                    the name of a folder

A folder appears when all of it is written, and the pointer is replaced in one step, so whoever
looks sees the old model or the new one and nothing between. Old models stay.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tradebot.errors import ModelError

MODEL = "model.onnx"
POINTER = "current"


class Shelf:
    """The models in `folder`, which need not be there to be looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self) -> Path | None:
        """The current model's ONNX file; None if none was ever made current.

        `ModelError` if it has gone: nobody should trade with another model without being told.
        """
        pointer = self.folder / POINTER
        try:
            name = pointer.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{pointer}: cannot be read: {error}; remove it for the demo model") from None
        model = self.folder / name / MODEL
        if not name or not model.is_file():
            raise ModelError(f"{pointer} names the model {name!r}, which is not there; train again, or remove it")
        return model

    @contextmanager
    def desk(self) -> Iterator[Path]:
        """A folder of its own to write a new model in; what is still in it at the end is thrown away.

        `ModelError` if nothing can be written there.
        """
        with self._guarded():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            desk = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            yield desk
        finally:
            shutil.rmtree(desk, ignore_errors=True)

    def put(self, desk: Path, name: str) -> Path:
        """What is on the desk as the model `name`; its folder.

        A model of that name that is there already has the same bytes, since a name holds their
        digest: its files are replaced one by one.
        """
        place = self.folder / name
        with self._guarded():
            for path in desk.iterdir():
                _to_disk(path)
            if not place.exists():
                desk.replace(place)
            else:
                for path in sorted(desk.iterdir()):
                    path.replace(place / path.name)
        return place

    def point_to(self, name: str) -> None:
        """Make the model `name` the current one."""
        with self._guarded():
            handle, text = tempfile.mkstemp(prefix=".current-", dir=self.folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(f"{name}\n")
                _to_disk(Path(text))
                Path(text).replace(self.folder / POINTER)
            finally:
                Path(text).unlink(missing_ok=True)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ModelError(
                f"models {self.folder}: {error.strerror}; mend that, or name another folder with --data-dir"
            ) from None


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
