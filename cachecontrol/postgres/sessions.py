"""Scope: who asks. What the same SQL gives depends on the role, the search_path and whatever row-level security looks at.

Note [How a read without SQL knows who asks]. What connecting gives is settled by the settings and stands in every key. A
session may change afterwards; so each statement that may have done so leaves a doubt, and the next read of that connection
asks the server, once. A session that differs from what connecting gave neither reads nor fills the cache. What a function
changes within itself leaves no doubt, unless the server reports it; a fill asks in any case. If the project defines a
``SCOPE``, the session's settings are not compared. Temporary tables and views always count, because PostgreSQL resolves
names to them first.
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper


TELL_SETTING = "cachecontrol.tell"
"""A session in which this is ``on`` receives a notice for each change that it makes."""
TELL_OPTION = f"-c {TELL_SETTING}=on"
"""The same as a startup option, which RESET restores."""
_SETTINGS = (
    "search_path",
    "row_security",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "default_text_search_config",
    "extra_float_digits",
    "bytea_output",
    "array_nulls",
    "transform_null_equals",
    "gin_fuzzy_search_limit",
)
_THRESHOLDS = {"similarity": "0.3", "word_similarity": "0.6", "strict_word_similarity": "0.5"}
"""The similarity thresholds of pg_trgm. In a session that has not loaded pg_trgm, the settings are empty: use its defaults."""
_HAS_TEMPORARY = """CASE WHEN pg_my_temp_schema() = 0 THEN false
    ELSE EXISTS (SELECT FROM pg_type WHERE typnamespace = pg_my_temp_schema()) END"""
SESSION_SQL = "concat_ws(' ', {})".format(
    ", ".join(
        [
            _HAS_TEMPORARY,
            "current_user",
            *(f"current_setting('{name}')" for name in _SETTINGS),
            *(
                f"COALESCE(NULLIF(current_setting('pg_trgm.{name}_threshold', true), ''), '{default}')"
                for name, default in _THRESHOLDS.items()
            ),
        ]
    )
)
"""Everything in a session that affects the result of a query: ``t`` if it has temporary tables, then its role, its
``search_path``, and how values are written and texts compared."""
REPORTED = (
    b"search_path",
    b"session_authorization",
    b"is_superuser",
    b"TimeZone",
    b"DateStyle",
    b"IntervalStyle",
)
"""Settings whose changes PostgreSQL reports to the client; ``search_path`` since PostgreSQL 18."""
_ALTERS = frozenset({"SET", "RESET", "DISCARD ALL"})
_SETS = re.compile("set_config|set_limit|pg_settings", re.IGNORECASE)
"""Functions that change a setting or a threshold of pg_trgm, and the view through which UPDATE changes settings."""
_READS_OR_WRITES = re.compile(r"\s*(select|values|table|with|insert|update|delete|merge)\b", re.IGNORECASE)
"""The first words of statements that change their session only by what the other patterns find."""
_CREATES = re.compile(r'pg_temp|(?<![\w"])(create|(?<!insert )(?<!merge )into)\b', re.IGNORECASE)
"""What may create a temporary table, but not the name of a column."""
_CONNECTING = ("service", "options", "assume_role")
"""OPTIONS of a database that say who connects, beside its USER."""


@dataclass(slots=True, eq=False)
class Session:
    """What connecting gave, and how many statements may have changed that since. Each connection's own."""

    began: str
    reported: tuple[bytes | None, ...]
    doubts: int = 0
    settled: int = 0
    """How many of the doubts the server has answered: nothing had changed."""


def remember_start(raw: Any, began: str) -> None:
    """Remember the state of a new session. If ``began`` is empty, because it could not be read, the session stays doubtful."""
    raw.cachecontrol_session = Session(began, _reported(raw), doubts=0 if began else 1)


def note_statement(cursor: Any, query: Any) -> bool:
    """Record a doubt if a statement may have changed its session. Return whether it may have changed settings.

    Several statements in one, and DO, are known by their semicolons. In a pipeline a statement has no status yet, so its first
    word counts.
    """
    text, raw = str(query), cursor.connection
    session = _session(raw)
    if session is None:
        return False
    is_pipelined = raw.info.pipeline_status != PipelineStatus.OFF
    is_unknown = ";" in text or (is_pipelined and not _READS_OR_WRITES.match(text))
    may_set = is_unknown or cursor.statusmessage in _ALTERS or bool(_SETS.search(text))
    if is_unknown or _CREATES.search(text) or (may_set and not conf.scope):
        session.doubts += 1
    return may_set


@contextlib.contextmanager
def trusting(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Run the cache's own SQL without recording doubts: it does not change the session, although it contains semicolons."""
    session = _session(connection.connection)
    before = session.doubts if session else 0
    try:
        yield
    finally:
        if session:
            session.doubts = before


def fingerprint(connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    """A value that differs if the session is another or may have changed in between. No round trip."""
    session = _session(connection.connection)
    if session is None:
        return (None,)
    return (session, session.doubts, conf.scope or _reported(connection.connection))


def may_have_changed(connection: BaseDatabaseWrapper) -> bool:
    """Whether the session may not be what connecting gave. No round trip."""
    session = _session(connection.connection)
    if session is None:
        return False
    may_be_set = not conf.scope and _reported(connection.connection) != session.reported
    return may_be_set or session.doubts != session.settled


def has_changed(connection: BaseDatabaseWrapper, said: str, *, in_transaction: bool) -> bool:
    """Whether the session is not what connecting gave, by what the server just said of it."""
    session = _session(connection.connection)
    if session is None:
        return False
    if said.startswith("t") or (said != session.began and not conf.scope):
        return True
    if not in_transaction:  # whose end may bring back what was before
        session.settled, session.reported = session.doubts, _reported(connection.connection)
    return False


def scope_name() -> str:
    """Whose rows this thread sees: a part of every key."""
    return f"{_constant()} {_named(conf.scope)()}" if conf.scope else _constant()


def _session(raw: Any) -> Session | None:
    return getattr(raw, "cachecontrol_session", None)


def _reported(raw: Any) -> tuple[bytes | None, ...]:
    """What the server last reported; nothing once the connection is closed."""
    return () if raw.closed else tuple(map(raw.pgconn.parameter_status, REPORTED))


@functools.cache
def _constant() -> str:
    """The release, and who connects by the settings."""
    connecting = []
    for alias in (conf.database, *conf.replicas):
        given = settings.DATABASES.get(alias, {})
        options = given.get("OPTIONS", {})
        named = [str(options.get(name) or "").replace(TELL_OPTION, "").strip() for name in _CONNECTING]
        connecting.append([given.get("USER"), given.get("TIME_ZONE"), *named])
    return repr((conf.release, connecting, os.environ.get("PGUSER"), os.environ.get("PGOPTIONS")))


@functools.cache
def _named(path: str) -> Any:
    return import_string(path)


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in ("CACHECONTROL", "DATABASES"):
        _constant.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.scope")
