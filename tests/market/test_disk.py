"""What goes into a cache, and what is not read from it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import diskcache
import pytest

from tradebot.errors import BadKlines
from tradebot.market.disk import BytesDisk
from tradebot.market.seals import Entries


@pytest.mark.parametrize("value", ["text", 7, 1.5, None, ("t",), {"k": 1}, bytearray(b"x")])
def test_only_bytes_go_in(tmp_path: Path, value: object) -> None:
    with diskcache.Cache(str(tmp_path), disk=BytesDisk) as cache:
        with pytest.raises(TypeError, match="values are bytes"):
            cache["key"] = value
        with pytest.raises(TypeError, match="keys are text"):
            cache[value if value != "text" else b"key"] = b""


def test_a_file_outside_the_folder_is_neither_read_nor_removed(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"mine")
    entries = Entries(tmp_path / "klines")
    entries.put("a", b"")
    with closing(sqlite3.connect(tmp_path / "klines" / "cache.db", isolation_level=None)) as database:
        database.execute("UPDATE Cache SET mode = 4, value = NULL, filename = '../secret'")
    assert entries.get("a") == b""
    entries.set_aside("a", entries.get("a"), BadKlines("foreign"))
    assert entries.keys("") == []
    assert outside.read_bytes() == b"mine"
    entries.close()
