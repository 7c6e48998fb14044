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

from cachecontrol import capture, position, scope, tracking
from cachecontrol.conf import conf
from cachecontrol.exceptions import Misconfigured
from cachecontrol.tags import relation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from cachecontrol.capture import Captured
    from cachecontrol.position import Standing

_current: ContextVar[Collection | None] = ContextVar("cachecontrol_collection", default=None)
_covered: ContextVar[bool] = ContextVar("cachecontrol_covered", default=False)

_declared: ContextVar[tuple[str, ...]] = ContextVar("cachecontrol_declared", default=())
"""Tables that the raw SQL of this context reads."""
_independent: ContextVar[bool] = ContextVar("cachecontrol_independent", default=False)
"""Whether this context works for no fill but those that it opens itself."""
_open: set[Collection] = set()
"""The collections of this process that are being filled."""
os.register_at_fork(after_in_child=_open.clear)
_on_primary: ContextVar[bool] = ContextVar("cachecontrol_on_primary", default=False)

_TRANSACTION_CONTROL = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


@dataclass(slots=True, eq=False)
class Collection:
    """What one fill depended on."""

    alias: str
    whose: str = field(default_factory=scope.current)
    """The scope that it is for."""
    standings: dict[str, Standing] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    """Tag to the earliest position it was read at."""
    ends: float | None = None
    """Seconds since 1970 when what was read ends by itself."""
    refusal: tuple[str, str] | None = None
    """Why the value must not be stored, and what was to blame."""
    thread: int = field(default_factory=threading.get_ident)
    """The thread that it belongs to."""

    def standing(self, alias: str) -> Standing:
        """Where that database stood before this collection's first query of it. One statement, once."""
        if alias not in self.standings:
            with covered():
                self.standings[alias] = position.standing(connections[alias])
        return self.standings[alias]

    @property
    def used_replica(self) -> bool:
        """Whether anything was read from a replica, whose word counts only if nothing moved since."""
        return any(alias in conf.replicas for alias in self.standings)

    @property
    def own(self) -> Standing:
        """Where the database stood that this collection began with."""
        return self.standing(self.alias)

    def add(self, alias: str, tags: Iterable[str]) -> None:
        """Depend on these tags as they stood before this collection's first query of that database."""
        if self.refuse_other_thread():
            return
        standing, names = self.standing(alias), list(tags)
        captured, relations = self._captured(alias, standing), {*map(relation_of, names)}
        if captured is None:
            return
        if bare := relations - captured.tables:
            self.refuse("untracked", ", ".join(sorted(bare)))
        if (restricted := relations & captured.restricted) and not conf.scope:
            self.refuse("row_security", ", ".join(sorted(restricted)))
        self.take(dict.fromkeys(names, standing.position), whose=scope.current())

    def _captured(self, alias: str, standing: Standing) -> Captured | None:
        """What is captured of the tables there; None, and refused, if the server does not tell."""
        failure = standing.failure
        if not failure:
            try:
                with covered():
                    return capture.captured(connections[alias], standing.captured)
            except DatabaseError as error:
                failure = str(error)
        self.refuse("position_unknown", failure)
        return None

    def take(self, positions: dict[str, str], ends: float | None = None, *, whose: str = "") -> None:
        """Depend on what a hit or a nested collection depended on, each tag at its own position.

        What was read in another scope must not be a part of this.
        """
        if self.refuse_other_thread():
            return
        if whose and whose != self.whose:
            self.refuse("scope", self.alias)
        for tag, at in positions.items():
            self.tags[tag] = min(at, self.tags.get(tag, at))
        if ends is not None:
            self.ends = ends if self.ends is None else min(ends, self.ends)

    def refuse_other_thread(self) -> bool:
        """Refuse the collection and return True if the current thread does not own it. See Note [Whose work it is]."""
        if self.thread == threading.get_ident():
            return False
        self.refuse("thread", threading.current_thread().name)
        return True

    def refuse(self, reason: str, blame: str = "") -> None:
        """Serve the value and do not store it. The first reason stays."""
        self.refusal = self.refusal or (reason, blame)

    def verdict(self) -> tuple[str, str] | None:
        """Why the value must not be stored, all things known, or None. Asks the server again inside a transaction."""
        if self.refusal:
            return self.refusal
        for alias, before in self.standings.items():
            if before.unfit:
                return before.unfit, before.failure or alias
            if before.epoch != self.own.epoch or before.place != self.own.place:
                return "epoch", alias
            if scope.mark(connections[alias]) != before.session:
                return "session", alias
            if position.in_transaction(connections[alias]) and self._wrote(alias):
                return "transaction", alias
        return None

    def _wrote(self, alias: str) -> bool:
        with covered():
            return bool(position.standing(connections[alias]).unfit)


def current() -> Collection | None:
    """The innermost collection of this context."""
    return _current.get()


@contextlib.contextmanager
def collecting(collection: Collection) -> Iterator[Collection]:
    """Collect into this collection; what it refused or read is passed on to the one around it at the end."""
    around = _current.get()
    token = _current.set(collection)
    hidden = _covered.set(False)
    _open.add(collection)
    try:
        yield collection
    finally:
        _open.discard(collection)
        _covered.reset(hidden)
        _current.reset(token)
        if around is not None:
            around.take(collection.tags, collection.ends, whose=collection.whose)
            if refusal := collection.refusal:
                around.refuse(*refusal)


@contextlib.contextmanager
def apart() -> Iterator[None]:
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


def serve() -> None:
    """Note that this context serves a request, from here to its end."""
    _independent.set(True)


def note_stranger(blame: Any) -> None:
    """Refuse all open fills if this thread has not declared for whom it reads. See Note [Whose work it is]."""
    if _open and _current.get() is None and not _independent.get():
        for collection in list(_open):
            collection.refuse("thread", _text(blame))


@contextlib.contextmanager
def covered() -> Iterator[None]:
    """Run SQL whose tags are reported by the caller."""
    token, hidden = _covered.set(True), _declared.set(())
    try:
        yield
    finally:
        _declared.reset(hidden)
        _covered.reset(token)


@contextlib.contextmanager
def declared(relations: list[str]) -> Iterator[None]:
    """Run raw SQL that reads these tables and no others. Raises Misconfigured for a table that is not tracked."""
    if bare := tracking.untracked(relations):
        raise Misconfigured(f"raw SQL depends on tables that are not tracked: {', '.join(bare)}")
    if (collection := _current.get()) is not None:
        collection.add(collection.alias, relations)
    with covered():
        token = _declared.set(tuple(relations))
        try:
            yield
        finally:
            _declared.reset(token)


def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Execute wrapper of every connection: SQL that nobody covers makes the work around it not storable."""
    if not str(sql).startswith(_TRANSACTION_CONTROL) or ";" in str(sql):
        judge(context["connection"].alias, context["connection"].connection, sql)
    if _current.get() is None:
        return execute(sql, params, many, context)
    with covered():  # it is judged, and the connection need not do that again
        return execute(sql, params, many, context)


def judge(alias: str, raw: Any, sql: Any) -> None:
    """Refuse the current fill if the result of this SQL may not be stored. Declared tables count for the database ``alias``."""
    collection, relations = _current.get(), _declared.get()
    if collection is None:
        note_stranger(sql)
    elif collection.refuse_other_thread() or (_covered.get() and not relations):
        return
    elif not known(alias) or connections[alias].connection is not raw:
        collection.refuse("database", alias)
    elif relations:
        collection.add(alias, relations)
    else:
        collection.refuse("uncovered", _text(sql))


def slips_by(alias: str) -> None:
    """Refuse the current fill if a round trip belongs to a statement that ``judge`` has not seen."""
    collection, is_covered = _current.get(), _covered.get()
    if collection is None:
        if not is_covered:
            note_stranger(alias)
    elif not is_covered or (_declared.get() and alias != collection.alias):
        collection.refuse("uncovered", f"SQL on {alias} that no cursor of Django's has sent")


def _text(sql: Any) -> str:
    return str(sql.as_string(None) if isinstance(sql, Composable) else sql)


def wrote(alias: str) -> None:
    """Note that a tracked table was changed while collecting: what was read may be rolled back."""
    if (collection := _current.get()) is not None:
        collection.refuse("transaction", alias)


def expire_at(moment: datetime) -> None:
    """End the entry that is being filled, and all built from it, at this moment. Outside a fill: no effect."""
    if moment.tzinfo is None:
        raise ValueError(f"moment must be aware, not {moment!r}")
    if (collection := _current.get()) is not None:
        collection.take({}, moment.timestamp())


def known(alias: str) -> bool:
    """Whether that database's changes reach the clock."""
    return alias == conf.database or alias in conf.replicas


@contextlib.contextmanager
def on_primary() -> Iterator[None]:
    """Let tracked queries that are meant for a replica go to the primary within this block."""
    token = _on_primary.set(True)
    try:
        yield
    finally:
        _on_primary.reset(token)


def is_on_primary() -> bool:
    """Whether tracked queries that are meant for a replica go to the primary now. Cursors of a replica still ask it."""
    return _on_primary.get()


def server(alias: str) -> str:
    """The database that a query meant for ``alias`` goes to."""
    return conf.database if is_on_primary() and alias in conf.replicas else alias
