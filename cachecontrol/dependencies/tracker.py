"""Collections: which tags a piece of work depended on, and whether all that it read could be covered.

Collections nest: what a fragment depends on, the page around it depends on too.

Note [Whose work it is]. A collection belongs to the thread that opened it. Threads that copy its context
(``asyncio.to_thread``, ``sync_to_async``) see the collection too. A fill for which they read is refused, since they may read
in another transaction. Other threads (``threading.Thread``, executors) start with an empty context, so nothing tells whether
they work for a fill. A thread that does not must declare it: the first middleware does so for requests, ``independent`` for
other programs. If a thread reads from the database or the cache without this declaration, all fills that are open in the
process are refused.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections
from psycopg.sql import Composable

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.core.tags import relation_of
from cachecontrol.exceptions import Misconfigured
from cachecontrol.postgres import captured, read_point, sessions
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from cachecontrol.postgres.captured import CapturedTables
    from cachecontrol.postgres.read_point import ReadPoint


_current: ContextVar[Collection | None] = ContextVar("cachecontrol_collection", default=None)
_is_covered: ContextVar[bool] = ContextVar("cachecontrol_covered", default=False)

_declared: ContextVar[tuple[str, ...]] = ContextVar("cachecontrol_declared", default=())
"""Tables that the raw SQL of this context reads."""
_independent: ContextVar[bool] = ContextVar("cachecontrol_independent", default=False)
"""Whether this context works for no fill but those that it opens itself."""
_open: set[Collection] = set()
"""The collections of this process that are being filled."""
os.register_at_fork(after_in_child=_open.clear)
_reads_primary: ContextVar[bool] = ContextVar("cachecontrol_on_primary", default=False)

_TRANSACTION_CONTROL = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


@dataclass(slots=True, eq=False)
class Collection:
    """What one fill depended on."""

    database: str
    """Alias of the database that the fill reads first."""
    scope: str = field(default_factory=sessions.scope_name)
    """Whose rows it sees."""
    read_points: dict[str, ReadPoint] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    """Tag to the earliest position it was read at."""
    ends: float | None = None
    """Seconds since 1970 when what was read ends by itself."""
    refusal: Refusal | None = None
    """Why the value must not be stored."""
    thread: int = field(default_factory=threading.get_ident)
    """The thread that it belongs to."""

    def read_point(self, alias: str) -> ReadPoint:
        """Return the read point of a database, taken before this collection's first query of it: one statement, once."""
        if alias not in self.read_points:
            with covering():
                self.read_points[alias] = read_point.read_point(connections[alias])
        return self.read_points[alias]

    @property
    def used_replica(self) -> bool:
        """Whether anything was read from a replica, whose answer counts only if nothing moved since."""
        return any(alias in conf.replicas for alias in self.read_points)

    @property
    def first_read_point(self) -> ReadPoint:
        """The read point of the database that the fill reads first."""
        return self.read_point(self.database)

    def add(self, alias: str, tags: Iterable[str]) -> None:
        """Depend on these tags as they stood before this collection's first query of that database."""
        if self.refuse_other_thread():
            return
        point, names = self.read_point(alias), list(tags)
        coverage, relations = self._coverage(alias, point), {*map(relation_of, names)}
        if coverage is None:
            return
        if untracked := relations - coverage.tables:
            self.refuse(Reason.UNTRACKED, ", ".join(sorted(untracked)))
        if (restricted := relations & coverage.restricted) and not conf.scope:
            self.refuse(Reason.ROW_SECURITY, ", ".join(sorted(restricted)))
        self.add_positions(dict.fromkeys(names, point.position), scope=sessions.scope_name())

    def _coverage(self, alias: str, point: ReadPoint) -> CapturedTables | None:
        """Return what is captured of the tables there; None, and the collection refused, if the server does not tell."""
        failure = point.failure
        if not failure:
            try:
                with covering():
                    return captured.captured_tables(connections[alias], point.captured)
            except DatabaseError as error:
                failure = str(error)
        self.refuse(Reason.POSITION_UNKNOWN, failure)
        return None

    def add_positions(self, positions: dict[str, str], ends: float | None = None, *, scope: str = "") -> None:
        """Depend on the tags of a hit or of a nested collection, each at its own position.

        ``ends`` is the moment (seconds since 1970) at which that value ends. A value that was read in another scope must not
        become a part of this one.
        """
        if self.refuse_other_thread():
            return
        if scope and scope != self.scope:
            self.refuse(Reason.SCOPE, self.database)
        for tag, at in positions.items():
            self.tags[tag] = min(at, self.tags.get(tag, at))
        if ends is not None:
            self.ends = ends if self.ends is None else min(ends, self.ends)

    def refuse_other_thread(self) -> bool:
        """Refuse the collection and return True if the current thread does not own it. See Note [Whose work it is]."""
        if self.thread == threading.get_ident():
            return False
        self.refuse(Reason.THREAD, threading.current_thread().name)
        return True

    def refuse(self, reason: Reason, blame: str = "") -> None:
        """Refuse to store the value. The first refusal stays."""
        self.refusal = self.refusal or Refusal(reason, blame)

    def final_refusal(self) -> Refusal | None:
        """Return why the value must not be stored now that it is computed, or None.

        Asks the server again inside a transaction.
        """
        if self.refusal:
            return self.refusal
        first = self.first_read_point
        for alias, point in self.read_points.items():
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
        with covering():
            return read_point.read_point(connections[alias]).refusal is not None


def current() -> Collection | None:
    """The innermost collection of this context."""
    return _current.get()


@contextlib.contextmanager
def collecting(collection: Collection) -> Iterator[Collection]:
    """Collect into this collection; what it refused or read is passed on to the one around it at the end."""
    surrounding = _current.get()
    token = _current.set(collection)
    hidden = _is_covered.set(False)
    _open.add(collection)
    try:
        yield collection
    finally:
        _open.discard(collection)
        _is_covered.reset(hidden)
        _current.reset(token)
        if surrounding is not None:
            surrounding.add_positions(collection.tags, collection.ends, scope=collection.scope)
            if refusal := collection.refusal:
                surrounding.refuse(*refusal)


@contextlib.contextmanager
def outside_collection() -> Iterator[None]:
    """Run work that the collection around it does not depend on, such as the keeping of statistics."""
    token = _current.set(None)
    try:
        with independent():
            yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def independent() -> Iterator[None]:
    """Declare that the reads of this block belong to no fill of another thread. For programs that work in several threads."""
    token = _independent.set(True)
    try:
        yield
    finally:
        _independent.reset(token)


def mark_independent() -> None:
    """Note that this context serves a request, from here to its end."""
    _independent.set(True)


def refuse_for_unknown_thread(blame: Any) -> None:
    """Refuse all open fills if this thread has not declared for whom it reads. See Note [Whose work it is]."""
    if _open and _current.get() is None and not _independent.get():
        for collection in list(_open):
            collection.refuse(Reason.THREAD, _text(blame))


@contextlib.contextmanager
def covering() -> Iterator[None]:
    """Run SQL whose tags are reported by the caller."""
    token, hidden = _is_covered.set(True), _declared.set(())
    try:
        yield
    finally:
        _declared.reset(hidden)
        _is_covered.reset(token)


@contextlib.contextmanager
def declaring(relations: list[str]) -> Iterator[None]:
    """Run raw SQL that reads these tables and no others. Raises Misconfigured for a table that is not tracked."""
    if bare := registry.untracked(relations):
        raise Misconfigured(f"raw SQL depends on tables that are not tracked: {', '.join(bare)}")
    if (collection := _current.get()) is not None:
        collection.add(collection.database, relations)
    with covering():
        token = _declared.set(tuple(relations))
        try:
            yield
        finally:
            _declared.reset(token)


def execute_wrapper(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute wrapper of every connection: SQL that nobody covers makes the work around it not storable."""
    if not str(sql).startswith(_TRANSACTION_CONTROL) or ";" in str(sql):
        judge_statement(context["connection"].alias, context["connection"].connection, sql)
    if _current.get() is None:
        return execute(sql, params, many, context)
    with covering():  # it is judged, and the connection need not do that again
        return execute(sql, params, many, context)


def judge_statement(alias: str, raw: Any, sql: Any) -> None:
    """Refuse the current fill if the result of this SQL may not be stored. Declared tables count for the database ``alias``."""
    collection, relations = _current.get(), _declared.get()
    if collection is None:
        refuse_for_unknown_thread(sql)
    elif collection.refuse_other_thread() or (_is_covered.get() and not relations):
        return
    elif not is_captured(alias) or connections[alias].connection is not raw:
        collection.refuse(Reason.DATABASE, alias)
    elif relations:
        collection.add(alias, relations)
    else:
        collection.refuse(Reason.UNCOVERED, _text(sql))


def refuse_unjudged_read(alias: str) -> None:
    """Refuse the current fill if a round trip belongs to a statement that ``judge`` has not seen."""
    collection, is_covered = _current.get(), _is_covered.get()
    if collection is None:
        if not is_covered:
            refuse_for_unknown_thread(alias)
    elif not is_covered or (_declared.get() and alias != collection.database):
        collection.refuse(Reason.UNCOVERED, f"SQL on {alias} that no cursor of Django's has sent")


def _text(sql: Any) -> str:
    return str(sql.as_string(None) if isinstance(sql, Composable) else sql)


def refuse_after_write(alias: str) -> None:
    """Note that a tracked table was changed while collecting: what was read may be rolled back."""
    if (collection := _current.get()) is not None:
        collection.refuse(Reason.TRANSACTION, alias)


def expire_at(moment: datetime) -> None:
    """End the entry that is being filled, and all built from it, at this moment. Outside a fill: no effect."""
    if moment.tzinfo is None:
        raise ValueError(f"moment must be aware, not {moment!r}")
    if (collection := _current.get()) is not None:
        collection.add_positions({}, moment.timestamp())


def is_captured(alias: str) -> bool:
    """Whether that database's changes reach the clock."""
    return alias == conf.database or alias in conf.replicas


@contextlib.contextmanager
def reading_primary() -> Iterator[None]:
    """Let tracked queries that are meant for a replica go to the primary within this block."""
    token = _reads_primary.set(True)
    try:
        yield
    finally:
        _reads_primary.reset(token)


def reads_primary() -> bool:
    """Whether tracked queries that are meant for a replica go to the primary now. Cursors of a replica still ask it."""
    return _reads_primary.get()


def database_for(alias: str) -> str:
    """The database that a query meant for ``alias`` goes to."""
    return conf.database if reads_primary() and alias in conf.replicas else alias
