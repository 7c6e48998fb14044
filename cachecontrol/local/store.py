"""The store of the local tier: entries in memory, bounded in bytes, the least recently used out first."""

from __future__ import annotations

import contextlib
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cachecontrol.core.dependency import meet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cachecontrol.core.dependency import Dependency
    from cachecontrol.core.entry import LocalEntry

ENTRY_BYTES, TAG_BYTES = 1200, 560
"""Bytes that an entry and each of its tags take beside the value, as measured with tracemalloc."""
ASKED_KEYS = 20_000
"""Keys that were asked for once which are remembered."""


@dataclass(slots=True)
class Store:
    """Entries by key. Whoever changes it holds the lock of the tier; ``find`` and ``touch`` need no lock."""

    size: int = 0
    """Bytes of all entries."""
    _entries: OrderedDict[str, LocalEntry] = field(default_factory=OrderedDict)
    _dependents: defaultdict[str, set[tuple[str, Dependency]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """By tag: the keys of the entries that depend on it, each with the dependency."""
    _asked: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str) -> LocalEntry | None:
        """Return the entry of this key, or None."""
        return self._entries.get(key)

    def touch(self, key: str) -> None:
        """Note that an entry was used."""
        with contextlib.suppress(KeyError):
            self._entries.move_to_end(key)

    def was_asked(self, key: str) -> bool:
        """Whether this key was asked for before. From now on it was: a value that is used once does not get a place."""
        if key in self._asked:
            return True
        self._asked[key] = None
        if len(self._asked) > ASKED_KEYS:
            self._asked.popitem(last=False)
        return False

    def add(self, entry: LocalEntry, limit: int) -> None:
        """Add an entry in place of the one with its key. Drop others until all take at most ``limit`` bytes."""
        self._drop(entry.key)
        self._entries[entry.key] = entry
        self.size += entry.size
        for dependency in entry.head.tags:
            self._dependents[dependency.tag].add((entry.key, dependency))
        self._shrink(limit)

    def grow(self, entry: LocalEntry, size: int, limit: int) -> None:
        """Count ``size`` more bytes for an entry, if it is still there."""
        if self._entries.get(entry.key) is entry:
            entry.size += size
            self.size += size
            self._shrink(limit)

    def move(self, moves: Iterable[tuple[str, str]], position: str) -> None:
        """Drop the entries that read one of these tags, in columns that changed, before it moved to ``position``."""
        for tag, columns in moves:
            for key, dependency in [*self._dependents.get(tag, ())]:
                entry = self._entries.get(key)
                is_older = entry is not None and position > entry.head.tags[dependency]
                if is_older and meet(dependency.columns, columns):
                    self._drop(key)

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._dependents.clear()
        self.size = 0

    def _shrink(self, limit: int) -> None:
        while self.size > limit:
            # One call: an iterator would fail if a reader touched an entry between its creation and its first step.
            _, entry = self._entries.popitem(last=False)
            self._forget(entry)

    def _drop(self, key: str) -> None:
        if entry := self._entries.pop(key, None):
            self._forget(entry)

    def _forget(self, entry: LocalEntry) -> None:
        """Count and index an entry no more that was taken out."""
        self.size -= entry.size
        for dependency in entry.head.tags:
            dependents = self._dependents[dependency.tag]
            dependents.discard((entry.key, dependency))
            if not dependents:
                del self._dependents[dependency.tag]
