"""Writers: how a process learns that it changed a tracked table, whatever the SQL, and drains once that is committed.

The trigger tells the connection by a notice, which only connections that ask for it get. The drain follows as soon as the
connection is in no transaction any more, whoever ended it and by whatever call: everything that is sent to the server goes
through the connection's ``wait``.

Note [How a connection asks to be told]. By a startup option (``TELL_OPTION``), which RESET and DISCARD restore. If the settings
do not include the option, as behind a pooler that refuses unknown options, a statement enables the notices, again after each
statement that may have changed the session. A function that resets the session and writes is not noticed in this case.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from cachecontrol.dependencies import declarations, statements
from cachecontrol.dependencies.databases import is_captured
from cachecontrol.drain import catch_up
from cachecontrol.postgres import sessions
from cachecontrol.postgres.capture_function import TELL_CODE
from cachecontrol.postgres.sessions import TELL_SETTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper


logger = logging.getLogger("cachecontrol")


_ASK = f"SELECT set_config('{TELL_SETTING}', 'on', false)"
_BEGIN = f"SELECT current_setting('{TELL_SETTING}', true) = 'on', {sessions.SESSION_SQL}"
_undrained = threading.local()
"""Whether this thread committed something that no drain of this process has carried yet."""


def listen(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Prepare each new connection (``connection_created``): ask for notices, judge SQL, drain after commits."""
    if statements.check_and_execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(statements.check_and_execute)
    raw: Any = connection.connection
    if connection.vendor != "postgresql" or isinstance(raw, _Connection):
        return
    raw.__class__ = _listening(raw.__class__)
    raw.cursor_factory = _noting(raw.cursor_factory)
    raw.server_cursor_factory = _noting(raw.server_cursor_factory)
    raw.cachecontrol_alias = connection.alias
    if is_captured(connection.alias):
        with declarations.reported():
            _begin(raw)


def _begin(raw: Any) -> None:
    """Remember the state of the new session, and enable notices. After an error the session neither reads nor fills the cache."""
    raw.add_notice_handler(_handler(ref(raw)))
    began = ""
    try:
        raw.cachecontrol_is_asking, began = raw.execute(_BEGIN).fetchone()
        raw.ask()
        if raw.info.transaction_status != TransactionStatus.IDLE:
            raw.commit()
    except psycopg.Error as error:
        logger.warning(
            "A new connection does without the cache, since it cannot tell its settings: %s", error
        )
        raw.rollback()
    sessions.remember_start(raw, began)


def has_undrained_write() -> bool:
    """Whether this thread committed something that was not drained yet."""
    return getattr(_undrained, "is_set", False)


def drain_own_write() -> bool:
    """Drain what this thread committed, if anything is left, and return whether all of it is carried.

    Never raises; what failed is tried again before a read.
    """
    if has_undrained_write():
        _undrained.is_set = not catch_up.catch_up(certify=False)
    return not has_undrained_write()


def _handler(listener: ref[Any]) -> Callable[[psycopg.errors.Diagnostic], None]:
    def hear(notice: psycopg.errors.Diagnostic) -> None:
        raw = listener()
        if notice.sqlstate == TELL_CODE and raw is not None:
            statements.refuse_after_write(raw.cachecontrol_alias)
            raw.cachecontrol_has_written = True

    return hear


@functools.cache
def _listening(connection: type[psycopg.Connection[Any]]) -> type[psycopg.Connection[Any]]:
    return type(f"Listening{connection.__name__}", (_Connection, connection), {})


@functools.cache
def _noting(cursor: type[psycopg.Cursor[Any]]) -> type[psycopg.Cursor[Any]]:
    return type(f"Noting{cursor.__name__}", (_Cursor, cursor), {})


class _Connection(psycopg.Connection[Any]):
    """Mixed into the class of a psycopg connection: drains after its commits, and notices every read."""

    cachecontrol_alias: str
    cachecontrol_is_asking: bool | None = None
    """Whether a startup option asks for notices."""
    cachecontrol_reads = True
    """Whether the command that is sent now may return rows."""
    cachecontrol_has_written = False
    """Whether this connection was told of a write that may not be committed yet."""

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        if self.cachecontrol_reads:
            statements.check_round_trip(self.cachecontrol_alias)
        try:
            return super().wait(*args, **kwargs)
        finally:
            if self.cachecontrol_has_written:
                self._settle()

    def _settle(self) -> None:
        """Drain if what was written may be committed by now. Within a pipeline this is unknown, so it drains each time.

        A broken connection may have committed, or may still do so. This is drained before the thread's next read.
        """
        status, pipeline = self.info.transaction_status, self.info.pipeline_status
        is_open = status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        if is_open or (status == TransactionStatus.ACTIVE and pipeline == PipelineStatus.OFF):
            return
        self.cachecontrol_has_written = status == TransactionStatus.ACTIVE
        _undrained.is_set = True
        if status != TransactionStatus.UNKNOWN:
            drain_own_write()

    def carry(self) -> None:
        """Drain what another connection wrote and this connection committed."""
        self.cachecontrol_has_written = True
        self._settle()

    def ask(self) -> None:
        """Ask to be told of writes, unless a startup option does. See Note [How a connection asks to be told]."""
        can_ask = self.info.transaction_status not in (TransactionStatus.INERROR, TransactionStatus.UNKNOWN)
        if can_ask and not self.cachecontrol_is_asking:
            with declarations.reported():
                psycopg.Cursor(self).execute(_ASK)

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        try:
            with super().pipeline() as pipeline:
                yield pipeline
        finally:
            if self.cachecontrol_has_written:
                self._settle()

    def tpc_commit(self, *args: Any) -> None:
        super().tpc_commit(*args)
        self.carry()

    def commit(self) -> None:
        self._without_reading(super().commit)

    def rollback(self) -> None:
        self._without_reading(super().rollback)

    def set_autocommit(self, value: bool) -> None:
        self._without_reading(super().set_autocommit, value)

    def _without_reading(self, act: Callable[..., None], *args: Any) -> None:
        """Run a command that returns no rows, so that it is not taken for a read."""
        self.cachecontrol_reads = False
        try:
            act(*args)
        finally:
            self.cachecontrol_reads = True


class _Cursor:
    """Mixed into the cursor classes of a connection, which Django's cursors and psycopg's own calls use alike."""

    connection: Any
    statusmessage: str | None

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        self._judge(query)
        try:
            return super().execute(query, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._note(query)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        self._judge(query)
        try:
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._note(query)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._judge(query)
        try:
            yield from super().stream(query, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._note(query)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        self._judge(statement)
        return super().copy(statement, *args, **kwargs)  # type: ignore[misc]

    def _judge(self, query: Any) -> None:
        statements.check_statement(getattr(self.connection, "cachecontrol_alias", ""), self.connection, query)

    def _note(self, query: Any) -> None:
        """Note what a statement may have changed, also one that failed: it may have committed a part before."""
        if not isinstance(self.connection, _Connection):
            return
        if sessions.note_statement(self, query):
            self.connection.ask()
        if self.statusmessage == "COMMIT PREPARED":
            self.connection.carry()
