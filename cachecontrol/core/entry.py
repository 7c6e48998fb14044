"""Entries: a stored value with its head, which contains its dependencies, each with the position it was read at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from cachecontrol.core.dependency import Dependency
from cachecontrol.exceptions import DamagedData


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What decides whether an entry is fresh. The Lua scripts read it, so its order is part of the protocol."""

    epoch: str
    as_of: str
    """Position of the fill itself."""
    expires: int
    """Microseconds since 1970 when the entry ends, whatever its tags do."""
    ends: int = 0
    """Microseconds since 1970 of the moment given to ``expire_at``, at which values built from this one end too; 0: none."""
    tags: dict[Dependency, str] = field(default_factory=dict)
    """Dependencies, each with the position that it was read at."""

    def pack(self) -> bytes:
        """Return the head as bytes that the scripts and ``unpack`` read.

        Many dependencies have the same columns, so these are written once: each dependency has an index into them.
        """
        columns = {names: index for index, names in enumerate(dict.fromkeys(d.columns for d in self.tags))}
        return bytes(
            msgpack.packb(
                [
                    self.epoch,
                    self.as_of,
                    self.expires,
                    [dependency.tag for dependency in self.tags],
                    [*self.tags.values()],
                    self.ends,
                    [*columns],
                    [columns[dependency.columns] for dependency in self.tags],
                ]
            )
        )

    @classmethod
    def unpack(cls, data: bytes) -> Head:
        """Return the head in these bytes. Raises DamagedData for bytes that ``pack`` did not write."""
        try:
            epoch, as_of, expires, tags, positions, ends, columns, column_indexes = msgpack.unpackb(data)
            texts, numbers = (epoch, as_of, *tags, *positions, *columns), (expires, ends, *column_indexes)
            if ({*map(type, texts)}, {*map(type, numbers)}) != ({str}, {int}):
                raise TypeError("a head of other types")
            read = {
                Dependency(tag, columns[index]): position
                for tag, index, position in zip(tags, column_indexes, positions, strict=True)
            }
            return cls(epoch=epoch, as_of=as_of, expires=expires, ends=ends, tags=read)
        except Exception as error:
            raise DamagedData("the head of an entry cannot be read") from error

    def earliest(self) -> str:
        """Return the earliest position of the fill and its dependencies."""
        return min([self.as_of, *self.tags.values()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry as Redis holds it."""

    head: bytes
    """A packed ``Head``."""
    body: bytes
    """The encoded value, signed if ``SIGN_BODIES`` is set."""
    stored: int
    """Microseconds of Redis' clock when it was stored."""


@dataclass(slots=True, eq=False)
class LocalEntry:
    """An entry that Redis judged to be fresh, in the memory of this process."""

    key: str
    head: Head
    value: Any
    """The value itself if all readers may share it, else its encoded body."""
    version: int
    """When Redis stored it, in microseconds of Redis' clock: tells it from another entry of the same key."""
    stored: float
    """When the value was stored, in seconds of ``local.mirror.now``."""
    deadline: float
    """When the entry ends by itself, in seconds of ``local.mirror.now``."""
    size: int
    """Bytes that count against the bound."""
    ready: Any = None
    """What a front end prepared from the value, to send it without further work."""
