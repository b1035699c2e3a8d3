"""Name → factory, for strategies, venues, features, risk rules and bench cases."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping
from typing import Generic, TypeVar

from tradebot.errors import UnknownName, suggestion

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping to its users; entries are added with `register`.

    A second entry of one name is a `ValueError` at import time (a programming error), an
    unknown name an `UnknownName` that offers the nearest known one.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files its object under `name` and returns it unchanged."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(f"unknown {self.kind} '{name}'{suggestion(name, self._entries)}") from None

    def items(self) -> ItemsView[str, T]:
        """All names with their entries, without a look-up for each."""
        return self._entries.items()

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
