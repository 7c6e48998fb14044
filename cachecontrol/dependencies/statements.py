"""Statements: whether the SQL that runs during a fill is reported to the collection of the fill.

The connections to the database call this module for every statement and every round trip (``drain.after_commit``).

Note [Why a thread must say for whom it reads]. A collection belongs to the thread that opened it. Threads that copy its context
(``asyncio.to_thread``, ``sync_to_async``) see the collection too. A fill for which they read is refused, since they may read
in another transaction. Other threads (``threading.Thread``, executors) start with an empty context, so nothing tells whether
they work for a fill. A thread that does not must declare it: the first middleware does so for requests, ``independent`` for
other programs. If a thread reads from the database or the cache without this declaration, all fills that are open in the
process are refused.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import connections
from psycopg.sql import Composable

from cachecontrol.core import registry
from cachecontrol.core.dependency import Dependency
from cachecontrol.dependencies import declarations
from cachecontrol.dependencies.collection import current_collection, open_collections
from cachecontrol.dependencies.databases import is_captured
from cachecontrol.exceptions import Misconfigured
from cachecontrol.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TRANSACTION_CONTROL = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


@contextlib.contextmanager
def reading_tables(tables: list[str]) -> Iterator[None]:
    """Run raw SQL that reads these tables and no others. Raises Misconfigured for a table that is not tracked."""
    if untracked := registry.untracked(tables):
        raise Misconfigured(f"raw SQL depends on tables that are not tracked: {', '.join(untracked)}")
    if (collection := current_collection()) is not None:
        collection.add(collection.database, map(Dependency, tables))
    with declarations.reported(*tables):
        yield


def check_and_execute(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Check a statement and run it (Django's execute wrapper, on every connection)."""
    if not str(sql).startswith(_TRANSACTION_CONTROL) or ";" in str(sql):
        check_statement(context["connection"].alias, context["connection"].connection, sql)
    if current_collection() is None:
        return execute(sql, params, many, context)
    with declarations.reported():  # the cursor of psycopg need not check it again
        return execute(sql, params, many, context)


def check_statement(alias: str, raw: Any, sql: Any) -> None:
    """Refuse the current fill if nothing reports what this statement depends on.

    Args:
        alias: of the database. The tables that were declared for raw SQL count for it.
        raw: the psycopg connection that runs the statement.
        sql: text, or an object of ``psycopg.sql``.
    """
    collection, tables = current_collection(), declarations.tables()
    if collection is None:
        refuse_for_unknown_thread(sql)
    elif collection.refuse_other_thread() or (declarations.is_reported() and not tables):
        return
    elif not is_captured(alias) or connections[alias].connection is not raw:
        collection.refuse(Reason.DATABASE, alias)
    elif tables:
        collection.add(alias, map(Dependency, tables))
    else:
        collection.refuse(Reason.UNCOVERED, _text(sql))


def check_round_trip(alias: str) -> None:
    """Refuse the current fill if a round trip belongs to a statement that ``check_statement`` was not called for."""
    collection, is_reported = current_collection(), declarations.is_reported()
    if collection is None:
        if not is_reported:
            refuse_for_unknown_thread(alias)
    elif not is_reported or (declarations.tables() and alias != collection.database):
        collection.refuse(Reason.UNCOVERED, f"SQL on {alias} that no cursor of Django's has sent")


def refuse_after_write(alias: str) -> None:
    """Refuse the current fill, since a tracked table was changed: what the fill reads may be rolled back."""
    if (collection := current_collection()) is not None:
        collection.refuse(Reason.TRANSACTION, alias)


def refuse_for_unknown_thread(cause: Any) -> None:
    """Refuse all open fills if this thread may work for one of them. See Note [Why a thread must say for whom it reads]."""
    collections = open_collections()
    if collections and current_collection() is None and not declarations.is_independent():
        for collection in collections:
            collection.refuse(Reason.THREAD, _text(cause))


def _text(sql: Any) -> str:
    return str(sql.as_string(None) if isinstance(sql, Composable) else sql)
