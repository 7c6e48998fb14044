"""Sessions: whether a connection still reads as which role, with which ``search_path`` and settings it read when it began.

What the same SQL returns depends on the role, the ``search_path`` and the settings that row-level security looks at. These are
the scope of a read.

Note [Why a read without SQL knows who asks]. What connecting gives is determined by Django's settings, which are a part of every
key. A session may change afterwards. So each statement that may change it is counted, and the next read of that connection asks
the server, once, what the session is now. A session that differs from its start neither reads nor fills the cache. A change
within a function is not counted, unless the server reports it; a fill asks in any case. If the project defines a ``SCOPE``, the
session's settings are not compared. Temporary tables and views always count, because PostgreSQL resolves names to them first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string
from psycopg.pq import PipelineStatus

from cachecontrol.conf import conf
from cachecontrol.postgres import sql_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper


NOTICE_SETTING = "cachecontrol.tell"
"""A session in which this is ``on`` receives a notice for each change that it makes."""
NOTICE_OPTION = f"-c {NOTICE_SETTING}=on"
"""The same as a startup option, which RESET restores."""
STATE = sql_files.fragment("session.state")
REPORTED = (
    b"search_path",
    b"session_authorization",
    b"is_superuser",
    b"TimeZone",
    b"DateStyle",
    b"IntervalStyle",
)
"""Settings whose changes PostgreSQL reports to the client; ``search_path`` since PostgreSQL 18."""
_SETTING_COMMANDS = frozenset({"SET", "RESET", "DISCARD ALL"})
"""Statuses of the commands that change settings."""
_CHANGES_SETTING = re.compile("set_config|set_limit|pg_settings", re.IGNORECASE)
"""Functions that change a setting or a threshold of pg_trgm, and the view through which UPDATE changes settings."""
_QUERIES_OR_WRITES = re.compile(r"\s*(select|values|table|with|insert|update|delete|merge)\b", re.IGNORECASE)
"""The first words of statements that change their session only in ways that the other patterns find."""
_CREATES_TEMPORARY = re.compile(r'pg_temp|(?<![\w"])(create|(?<!insert )(?<!merge )into)\b', re.IGNORECASE)
"""What may create a temporary table, but not the name of a column."""
_CONNECTION_OPTIONS = ("service", "options", "assume_role")
"""OPTIONS of a database that determine the session, beside its USER."""


@dataclass(slots=True, eq=False)
class Session:
    """How the session of one connection began, and how many statements may have changed it since."""

    start: str
    """The state that ``session.state`` returned at the start."""
    reported: tuple[bytes | None, ...]
    """The settings that PostgreSQL reports, when the session was last verified."""
    suspects: int = 0
    """Statements that may have changed the session."""
    cleared: int = 0
    """How many of these the server has cleared: after them the session was as at its start."""


def remember_start(raw: Any, state: str) -> None:
    """Remember the state in which the session of a psycopg connection begins.

    If ``state`` is empty, because it could not be read, the session counts as one that may have changed.
    """
    raw.cachecontrol_session = Session(state, _reported(raw), suspects=0 if state else 1)


def record_statement(cursor: Any, query: Any) -> bool:
    """Count a statement that may have changed its session. Return whether it may have changed settings.

    Several statements in one, and DO, are recognised by their semicolons. In a pipeline a statement has no status yet, so its
    first word counts.
    """
    text, raw = str(query), cursor.connection
    session = _session(raw)
    if session is None:
        return False
    is_pipelined = raw.info.pipeline_status != PipelineStatus.OFF
    is_unknown = ";" in text or (is_pipelined and not _QUERIES_OR_WRITES.match(text))
    may_set = is_unknown or cursor.statusmessage in _SETTING_COMMANDS or bool(_CHANGES_SETTING.search(text))
    if is_unknown or _CREATES_TEMPORARY.search(text) or (may_set and not conf.scope):
        session.suspects += 1
    return may_set


@contextlib.contextmanager
def uncounted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Run SQL of the cache itself without counting it: it does not change the session, although it contains semicolons."""
    session = _session(connection.connection)
    before = session.suspects if session else 0
    try:
        yield
    finally:
        if session:
            session.suspects = before


def fingerprint(connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    """Return a value that differs if the session is another one or may have changed in between. No round trip."""
    session = _session(connection.connection)
    if session is None:
        return (None,)
    return (session, session.suspects, conf.scope or _reported(connection.connection))


def may_have_changed(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the session may differ from its start. No round trip.

    See Note [Why a read without SQL knows who asks].
    """
    session = _session(connection.connection)
    if session is None:
        return False
    may_be_set = not conf.scope and _reported(connection.connection) != session.reported
    return may_be_set or session.suspects != session.cleared


def has_changed(connection: BaseDatabaseWrapper, state: str, *, in_transaction: bool) -> bool:
    """Return whether the session differs from its start, now that the server has returned its ``state``.

    If it does not, the statements that may have changed it are cleared, except within a transaction, whose end may bring back
    the settings from before it.
    """
    session = _session(connection.connection)
    if session is None:
        return False
    has_temporary_tables = state.startswith("t")
    if has_temporary_tables or (state != session.start and not conf.scope):
        return True
    if not in_transaction:
        session.cleared, session.reported = session.suspects, _reported(connection.connection)
    return False


def scope_name() -> str:
    """Return who asks, and whose rows this thread sees: a part of every key."""
    return f"{_configured_scope()} {_imported(conf.scope)()}" if conf.scope else _configured_scope()


def _session(raw: Any) -> Session | None:
    return getattr(raw, "cachecontrol_session", None)


def _reported(raw: Any) -> tuple[bytes | None, ...]:
    """Return the values that the server last reported; none once the connection is closed."""
    return () if raw.closed else tuple(map(raw.pgconn.parameter_status, REPORTED))


@functools.cache
def _configured_scope() -> str:
    """Return the part of the scope that the settings determine: the release, and how each database is connected to."""
    connecting = []
    for alias in (conf.database, *conf.replicas):
        database = settings.DATABASES.get(alias, {})
        options = database.get("OPTIONS", {})
        texts = (str(options.get(name) or "") for name in _CONNECTION_OPTIONS)
        given = [text.replace(NOTICE_OPTION, "").strip() for text in texts]
        connecting.append([database.get("USER"), database.get("TIME_ZONE"), *given])
    return repr((conf.release, connecting, os.environ.get("PGUSER"), os.environ.get("PGOPTIONS")))


@functools.cache
def _imported(path: str) -> Any:
    return import_string(path)


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in ("CACHECONTROL", "DATABASES"):
        _configured_scope.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.scope")
