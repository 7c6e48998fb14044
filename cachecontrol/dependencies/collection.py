"""Collections: what a fill depends on, and whether its value may be stored.

Collections nest: a page depends on everything that a fragment within it depends on.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections

from cachecontrol.conf import conf
from cachecontrol.core.tags import relation_of
from cachecontrol.dependencies import declarations
from cachecontrol.postgres import captured, read_point, sessions
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cachecontrol.core.dependency import Dependency
    from cachecontrol.postgres.captured import CapturedTables
    from cachecontrol.postgres.read_point import ReadPoint


_current: ContextVar[Collection | None] = ContextVar("cachecontrol_collection", default=None)
_open: set[Collection] = set()
os.register_at_fork(after_in_child=_open.clear)


@dataclass(slots=True, eq=False)
class Collection:
    """What one fill depends on."""

    database: str
    """Alias of the database that the fill reads first."""
    scope: str = field(default_factory=sessions.scope_name)
    """The scope whose rows the fill sees."""
    read_points: dict[str, ReadPoint] = field(default_factory=dict)
    """By alias of the database."""
    tags: dict[Dependency, str] = field(default_factory=dict)
    """The earliest position at which each dependency was read."""
    ends: float | None = None
    """When the value ends by itself, in seconds since 1970; None if it does not."""
    refusal: Refusal | None = None
    """Why the value must not be stored."""
    thread: int = field(default_factory=threading.get_ident)
    """Identifier of the thread that owns the collection."""

    def read_point(self, alias: str) -> ReadPoint:
        """Return the read point of a database. It is taken once, by one statement before the first query of that database."""
        if alias not in self.read_points:
            with declarations.reported():
                self.read_points[alias] = read_point.read_point(connections[alias])
        return self.read_points[alias]

    @property
    def used_replica(self) -> bool:
        """Whether anything was read from a replica. Its answer counts only if no tag moved since."""
        return any(alias in conf.replicas for alias in self.read_points)

    @property
    def first_read_point(self) -> ReadPoint:
        """The read point of the database that the fill reads first."""
        return self.read_point(self.database)

    def add(self, alias: str, dependencies: Iterable[Dependency]) -> None:
        """Depend on what was read from a database, at the position of its read point."""
        if self.refuse_other_thread():
            return
        point = self.read_point(alias)
        positions = dict.fromkeys(dependencies, point.position)
        if tables := self._captured_tables(alias, point):
            self._refuse_unproven({relation_of(dependency.tag) for dependency in positions}, tables)
            self.add_positions(positions, scope=sessions.scope_name())

    def add_positions(
        self, positions: dict[Dependency, str], ends: float | None = None, *, scope: str = ""
    ) -> None:
        """Depend on what a hit or a nested collection depends on.

        Args:
            positions: the position of each dependency.
            ends: when that value ends, in seconds since 1970; None if it does not end by itself.
            scope: the scope that it was read in. If this is another one than the collection's, the collection is refused.
        """
        if self.refuse_other_thread():
            return
        if scope and scope != self.scope:
            self.refuse(Reason.SCOPE, self.database)
        for dependency, position in positions.items():
            self.tags[dependency] = min(position, self.tags.get(dependency, position))
        if ends is not None:
            self.ends = ends if self.ends is None else min(ends, self.ends)

    def add_nested(self, nested: Collection) -> None:
        """Depend on everything that a nested collection depends on, and be refused if it is."""
        self.add_positions(nested.tags, nested.ends, scope=nested.scope)
        if nested.refusal:
            self.refuse(*nested.refusal)

    def refuse(self, reason: Reason, cause: str = "") -> None:
        """Refuse to store the value. The first refusal remains. ``cause`` tells a person what caused it."""
        self.refusal = self.refusal or Refusal(reason, cause)

    def refuse_other_thread(self) -> bool:
        """Refuse the collection and return True if the current thread does not own it.

        See Note [Why a thread must say for whom it reads].
        """
        if self.thread == threading.get_ident():
            return False
        self.refuse(Reason.THREAD, threading.current_thread().name)
        return True

    def final_refusal(self) -> Refusal | None:
        """Return why the computed value must not be stored; None if it may be.

        Within a transaction, this asks the server again whether the transaction has written.
        """
        if self.refusal:
            return self.refusal
        first = self.first_read_point  # taken here if the fill has read nothing
        refusals = (self._refusal_at(alias, point, first) for alias, point in self.read_points.items())
        return next(filter(None, refusals), None)

    def _captured_tables(self, alias: str, point: ReadPoint) -> CapturedTables | None:
        """Return which tables are captured in a database. If the server does not tell, refuse and return None."""
        failure = point.failure
        if not failure:
            try:
                with declarations.reported():
                    return captured.captured_tables(connections[alias], point.captured)
            except DatabaseError as error:
                failure = str(error)
        self.refuse(Reason.POSITION_UNKNOWN, failure)
        return None

    def _refuse_unproven(self, relations: set[str], tables: CapturedTables) -> None:
        """Refuse tables whose changes are not captured, or of which each role may see other rows."""
        if untracked := relations - tables.tables:
            self.refuse(Reason.UNTRACKED, ", ".join(sorted(untracked)))
        if (restricted := relations & tables.restricted) and not conf.scope:
            self.refuse(Reason.ROW_SECURITY, ", ".join(sorted(restricted)))

    def _refusal_at(self, alias: str, point: ReadPoint, first: ReadPoint) -> Refusal | None:
        """Return why what was read from this database must not be stored with what was read from the first one."""
        if point.refusal:
            return Refusal(point.refusal, point.failure or alias)
        if point.epoch != first.epoch or point.database_id != first.database_id:
            return Refusal(Reason.EPOCH, alias)
        if sessions.fingerprint(connections[alias]) != point.session:
            return Refusal(Reason.SESSION, alias)
        if read_point.in_transaction(connections[alias]) and self._has_written(alias):
            return Refusal(Reason.TRANSACTION, alias)
        return None

    def _has_written(self, alias: str) -> bool:
        with declarations.reported():
            return read_point.read_point(connections[alias]).refusal is not None


def current_collection() -> Collection | None:
    """Return the innermost collection of this context, or None."""
    return _current.get()


def open_collections() -> list[Collection]:
    """Return the collections of all fills that run in this process."""
    return list(_open)


def may_read_for_another_thread() -> bool:
    """Whether the current thread reads for a fill of another thread, or nothing tells that it does not.

    See Note [Why a thread must say for whom it reads].
    """
    collection = _current.get()
    if collection is None:
        return bool(_open) and not declarations.is_independent()
    return collection.thread != threading.get_ident()


@contextlib.contextmanager
def collecting(collection: Collection) -> Iterator[Collection]:
    """Collect what this block reads. At its end, the collection around it depends on the same."""
    surrounding = _current.get()
    token = _current.set(collection)
    _open.add(collection)
    try:
        with declarations.not_reported():
            yield collection
    finally:
        _open.discard(collection)
        _current.reset(token)
        if surrounding is not None:
            surrounding.add_nested(collection)


@contextlib.contextmanager
def outside_collection() -> Iterator[None]:
    """Run work on which the collection around it does not depend, such as the cache's own questions to the database."""
    token = _current.set(None)
    try:
        with declarations.independent():
            yield
    finally:
        _current.reset(token)


def expire_at(moment: datetime) -> None:
    """End the entry that is being filled, and each entry built from it, at a moment.

    Call it in a view, fragment or function whose result changes with time and not with the data, such as the end of a sale.
    The earliest moment counts. The ttl of the policy may end the entry before. Outside of a fill it has no effect.

    Args:
        moment: an aware datetime. If it is over already, the value is served and not stored (refusal ``ended``).

    Raises:
        ValueError: the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"moment must be aware, not {moment!r}")
    if (collection := _current.get()) is not None:
        collection.add_positions({}, moment.timestamp())
