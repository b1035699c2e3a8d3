"""A least-recently-used cache that is bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Holds values of known size; the least recently used leave when `limit` bytes are passed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._entries

    def get(self, name: Hashable) -> V | None:
        """The value, which thereby counts as used; None if there is none."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        self._entries.move_to_end(name)
        return entry[0]

    def put(self, name: Hashable, value: V, size: int) -> V:
        """Keep `value`, which takes `size` bytes, and return it."""
        if name in self._entries:
            self.size -= self._entries.pop(name)[1]
        self._entries[name] = (value, size)
        self.size += size
        while self.size > self.limit:
            self.size -= self._entries.popitem(last=False)[1][1]
        return value
