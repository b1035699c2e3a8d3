"""All settings together: every key, and the data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradebot.config import Settings, leaves
from tradebot.errors import ConfigError


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = Settings(data_dir=str(tmp_path / "new" / "data")).data_path
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_data_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="name another with --data-dir"):
        _ = Settings(data_dir=str(tmp_path / "file" / "data")).data_path


def test_a_file_in_the_place_of_the_data_folder_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file: is no folder; name another"):
        _ = Settings(data_dir=str(tmp_path / "file")).data_path


def test_every_key_explains_itself_and_has_a_default() -> None:
    keys = dict(leaves())
    assert "venue.name" in keys
    assert all(field.description or key == "data_dir" for key, field in keys.items())
    assert not [key for key, field in keys.items() if field.is_required()]
