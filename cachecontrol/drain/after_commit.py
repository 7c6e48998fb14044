"""Drains after commits: how a process notices that it changed a tracked table, whatever the SQL, and drains after the commit.

The capture function sends the connection a notice, which only connections that have enabled it get. The drain follows as soon as
the connection is in no transaction any more, by whatever call the transaction ended: everything that is sent to the server goes
through the connection's ``wait``.

Note [Why a connection asks for notices at its start]. A startup option (``NOTICE_OPTION``) enables the notices, which RESET and
DISCARD restore. If the settings do not include the option, as behind a pooler that refuses unknown options, a statement enables
the notices, again after each statement that may have changed the session. A function that resets the session and writes is not
noticed in this case.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from cachecontrol.dependencies import declarations, statements
from cachecontrol.dependencies.databases import is_captured
from cachecontrol.drain import catch_up
from cachecontrol.postgres import sessions, sql_files
from cachecontrol.postgres.capture_function import NOTICE_CODE
from cachecontrol.postgres.sessions import NOTICE_SETTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper


logger = logging.getLogger("cachecontrol")


START_SQL = sql_files.statement("session.start", setting=NOTICE_SETTING, state=sessions.STATE)
_ENABLE_NOTICES = sql_files.statement("session.enable_notices", setting=NOTICE_SETTING)
_undrained = threading.local()
"""Whether this thread committed something that no drain of this process has carried yet."""


@dataclass(frozen=True, slots=True)
class StartRow:
    """The row of ``session.start``."""

    has_notices: bool
    state: str


def prepare_connection(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Prepare each new connection (signal ``connection_created``): enable notices, judge its SQL, drain after its commits."""
    if statements.check_and_execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(statements.check_and_execute)
    raw: Any = connection.connection
    if connection.vendor != "postgresql" or isinstance(raw, _Connection):
        return
    raw.__class__ = _connection_class(raw.__class__)
    raw.cursor_factory = _cursor_class(raw.cursor_factory)
    raw.server_cursor_factory = _cursor_class(raw.server_cursor_factory)
    raw.cachecontrol_alias = connection.alias
    if is_captured(connection.alias):
        with declarations.reported():
            _start_session(raw)


def _start_session(raw: Any) -> None:
    """Remember the state of a new session, and enable notices. After an error the session neither reads nor fills the cache."""
    raw.add_notice_handler(_notice_handler(ref(raw)))
    state = ""
    try:
        start = sql_files.rows(raw.execute(START_SQL), StartRow)[0]
        raw.cachecontrol_has_startup_option, state = start.has_notices, start.state
        raw.enable_notices()
        if raw.info.transaction_status != TransactionStatus.IDLE:
            raw.commit()
    except psycopg.Error as error:
        logger.warning(
            "A new connection does without the cache, since its settings cannot be read: %s", error
        )
        raw.rollback()
    sessions.remember_start(raw, state)


def has_undrained_write() -> bool:
    """Return whether this thread committed something that was not drained yet."""
    return getattr(_undrained, "is_set", False)


def drain_own_write() -> bool:
    """Drain what this thread committed, if anything is left, and return whether all of it is carried.

    Raises no error; a drain that failed is tried again before a read.
    """
    if not has_undrained_write():
        return True
    _undrained.is_set = not catch_up.catch_up(certify=False)
    return not has_undrained_write()


def _notice_handler(connection: ref[Any]) -> Callable[[psycopg.errors.Diagnostic], None]:
    """Return the handler of a connection's notices. A weak reference, since the connection refers to the handler."""

    def note_write(notice: psycopg.errors.Diagnostic) -> None:
        raw = connection()
        if notice.sqlstate == NOTICE_CODE and raw is not None:
            statements.refuse_after_write(raw.cachecontrol_alias)
            raw.cachecontrol_has_written = True

    return note_write


@functools.cache
def _connection_class(base: type[psycopg.Connection[Any]]) -> type[psycopg.Connection[Any]]:
    return type(f"Draining{base.__name__}", (_Connection, base), {})


@functools.cache
def _cursor_class(base: type[psycopg.Cursor[Any]]) -> type[psycopg.Cursor[Any]]:
    return type(f"Judging{base.__name__}", (_Cursor, base), {})


class _Connection(psycopg.Connection[Any]):
    """Mixed into the class of a psycopg connection: drains after its commits, and notices every read."""

    cachecontrol_alias: str
    cachecontrol_has_startup_option = False
    """Whether a startup option enables notices."""
    cachecontrol_may_read = True
    """Whether the command that is sent now may return rows."""
    cachecontrol_has_written = False
    """Whether this connection received a notice of a write that may not be committed yet."""

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        if self.cachecontrol_may_read:
            statements.check_round_trip(self.cachecontrol_alias)
        try:
            return super().wait(*args, **kwargs)
        finally:
            self._drain_if_committed()

    def _drain_if_committed(self) -> None:
        """Drain the writes of this connection if they may be committed.

        Within a pipeline this is unknown, so it drains each time. A broken connection may have committed, or may still do so:
        this is drained before the thread's next read.
        """
        if not self.cachecontrol_has_written:
            return
        status, pipeline = self.info.transaction_status, self.info.pipeline_status
        is_open = status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        if is_open or (status == TransactionStatus.ACTIVE and pipeline == PipelineStatus.OFF):
            return
        self.cachecontrol_has_written = status == TransactionStatus.ACTIVE
        _undrained.is_set = True
        if status != TransactionStatus.UNKNOWN:
            drain_own_write()

    def drain_prepared(self) -> None:
        """Drain the writes of a prepared transaction, which another connection may have made and this one has committed."""
        self.cachecontrol_has_written = True
        self._drain_if_committed()

    def enable_notices(self) -> None:
        """Enable notices of writes, unless a startup option does. See Note [Why a connection asks for notices at its start]."""
        can_ask = self.info.transaction_status not in (TransactionStatus.INERROR, TransactionStatus.UNKNOWN)
        if can_ask and not self.cachecontrol_has_startup_option:
            with declarations.reported():
                psycopg.Cursor(self).execute(_ENABLE_NOTICES)

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        try:
            with super().pipeline() as pipeline:
                yield pipeline
        finally:
            self._drain_if_committed()

    def tpc_commit(self, *args: Any) -> None:
        super().tpc_commit(*args)
        self.drain_prepared()

    def commit(self) -> None:
        self._without_reading(super().commit)

    def rollback(self) -> None:
        self._without_reading(super().rollback)

    def set_autocommit(self, value: bool) -> None:
        self._without_reading(super().set_autocommit, value)

    def _without_reading(self, command: Callable[..., None], *args: Any) -> None:
        """Run a command that returns no rows, so that it does not count as a read."""
        self.cachecontrol_may_read = False
        try:
            command(*args)
        finally:
            self.cachecontrol_may_read = True


class _Cursor:
    """Mixed into the cursor classes of a connection, which both Django's cursors and psycopg's own calls use."""

    connection: Any
    statusmessage: str | None

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        self._judge(query)
        try:
            return super().execute(query, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._record(query)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        self._judge(query)
        try:
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._record(query)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._judge(query)
        try:
            yield from super().stream(query, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._record(query)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        self._judge(statement)
        return super().copy(statement, *args, **kwargs)  # type: ignore[misc]

    def _judge(self, query: Any) -> None:
        statements.check_statement(getattr(self.connection, "cachecontrol_alias", ""), self.connection, query)

    def _record(self, query: Any) -> None:
        """Record what a statement may have changed, also one that failed: it may have committed a part before."""
        if not isinstance(self.connection, _Connection):
            return
        if sessions.record_statement(self, query):
            self.connection.enable_notices()
        if self.statusmessage == "COMMIT PREPARED":
            self.connection.drain_prepared()
