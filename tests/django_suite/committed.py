"""Run Django's TestCase without its transactions: inside one, every read after a write would bypass the cache.

What a class or a test wrote is found in the change log and undone by putting back the rows that were there before.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connection, connections
from django.db.backends.base import base
from django.test import SimpleTestCase, TestCase, TransactionTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

BASE, CLASS = "rows_of_all", "rows_of_class"


class Rows:
    """The rows that a test finds, kept in a schema of their own: those of a new database, then those of a class."""

    def __init__(self) -> None:
        self.seen = 0
        self.saved_tables: dict[str, set[str]] = {BASE: set(), CLASS: set()}

    def keep(self, level: str) -> None:
        """Copy the tables that were written since the last look."""
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {level} CASCADE; CREATE SCHEMA {level}")
            self.saved_tables[level] = self._written(cursor)
            for table in self.saved_tables[level]:
                cursor.execute(f'CREATE TABLE {level}."{table}" AS TABLE public."{table}"')

    def restore(self, level: str) -> None:
        """Put the rows back that stood in the tables that were written since the last look."""
        with connection.cursor() as cursor:
            written = self._written(cursor)
            if level == BASE:
                written |= self.saved_tables[CLASS]
                self.saved_tables[CLASS] = set()
            if not written:
                return
            cursor.execute("SET session_replication_role = replica")
            for table in written:
                cursor.execute(f'DELETE FROM public."{table}"')
            for table in written:
                self._copy_back(cursor, table)
            cursor.execute("SET session_replication_role = origin")
            self._written(cursor)

    def _copy_back(self, cursor: Any, table: str) -> None:
        level = next((level for level in (CLASS, BASE) if table in self.saved_tables[level]), None)
        if level is None:
            return
        cursor.execute(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            [f'public."{table}"'],
        )
        (columns,) = cursor.fetchone()
        cursor.execute(f'INSERT INTO public."{table}" ({columns}) SELECT {columns} FROM {level}."{table}"')

    def _written(self, cursor: Any) -> set[str]:
        cursor.execute(
            "SELECT max(id), array_agg(DISTINCT relation) FROM cachecontrol_change"
            " WHERE id > %s AND to_regclass('public.' || quote_ident(relation)) IS NOT NULL",
            [self.seen],
        )
        last, tables = cursor.fetchone()
        self.seen = last or self.seen
        return {*(tables or ())}


rows = Rows()
after: list[Callable[[], None]] = []
"""What to do at the end of each test, before and after its rows are put back."""


def begin() -> None:
    """Keep the rows of the new database, those that no change tells of included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cachecontrol_change (operation, relation, tags) SELECT 'KEEP', relation, '{}' FROM cachecontrol_tracked"
        )
    rows.keep(BASE)
    # The types of Django know none of the methods that are replaced here.
    backend: Any = base
    simple: Any = SimpleTestCase
    transaction: Any = TransactionTestCase
    case: Any = TestCase
    simple._add_databases_failures = simple._remove_databases_failures = classmethod(lambda cls: None)
    # A test counts its statements within a transaction that had begun before.
    backend.debug_transaction = lambda connection, statement: contextlib.nullcontext()
    transaction._fixture_teardown = _restore_all
    case._enter_atomics = classmethod(lambda cls: {})
    case._rollback_atomics = classmethod(lambda cls, atomics: rows.restore(BASE))
    case._fixture_setup = classmethod(_keep_class)
    case._fixture_teardown = _restore_class


def _keep_class(cls: Any) -> None:
    if "_is_kept" not in vars(cls):
        cls._is_kept = True
        rows.keep(CLASS)


def _restore_class(self: TestCase) -> None:
    _finish(self)
    _end(CLASS)


def _end(level: str) -> None:
    for act in after:
        act()
    rows.restore(level)
    for act in after:
        act()


def _restore_all(self: TransactionTestCase) -> None:
    _finish(self)
    _end(BASE)
    apps.clear_cache()


def _finish(self: TransactionTestCase) -> None:
    """Leave no transaction open; the second database is emptied as a whole."""
    for each in connections.all(initialized_only=True):
        if not each.autocommit or each.in_atomic_block:
            each.close()
    if "other" in self.databases:
        other = connections["other"]
        with other.cursor() as cursor:
            tables = [
                t
                for t in other.introspection.django_table_names(only_existing=True)
                if not t.startswith("cachecontrol")
            ]
            cursor.execute(f"TRUNCATE {', '.join(map(other.ops.quote_name, tables))} CASCADE")
