"""Captured columns: which columns an UPDATE changed, for every type whose values are compared, and when that is not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from cachecontrol.core.dependency import written_column
from cachecontrol.core.registry import TrackedTable
from cachecontrol.postgres import triggers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TYPES = {
    "id": "integer",
    "i": "integer",
    "small": "smallint",
    "n": "numeric",
    "f": "double precision",
    "b": "boolean",
    "u": "uuid",
    "d": "date",
    "at": "timestamp with time zone",
    "v": "varchar(40)",
    "a b,c": "text",
    "j": "json",
    "jb": "jsonb",
    "words": "tsvector",
    "list": "integer[]",
}
ROW = {
    "id": "1",
    "i": "1",
    "small": "1",
    "n": "1.0",
    "f": "0",
    "b": "true",
    "u": "'00000000-0000-0000-0000-000000000001'",
    "d": "'2026-01-01'",
    "at": "'2026-01-01 00:00+00'",
    "v": "'a'",
    "a b,c": "'a'",
    "j": "'{\"a\": 1}'",
    "jb": "'{\"a\": 1}'",
    "words": "'a'",
    "list": "'{1}'",
}
OTHER = {
    "i": ["2", "NULL"],
    "small": ["2", "NULL"],
    "n": ["2.0", "1.00", "'NaN'", "NULL"],
    "f": ["1", "'-0'", "NULL"],
    "b": ["false", "NULL"],
    "u": ["gen_random_uuid()", "NULL"],
    "d": ["'2026-01-02'", "'infinity'", "NULL"],
    "at": ["'2026-01-01 00:00:00.000001+00'", "'infinity'", "NULL"],
    "v": ["'b'", "'a '", "'A'", "''", "NULL"],
    "a b,c": ["'b'", "'ä'", "NULL"],
    "j": ["'{ \"a\": 1}'", "NULL"],
    "jb": ["'{\"a\": 1.0}'", "NULL"],
    "words": ["'b'", "NULL"],
    "list": ["'{1,2}'", "'{NULL}'", "NULL"],
}
"""By column: values that differ from that of ``ROW``, or are written differently."""


@dataclass(frozen=True, slots=True)
class Forms:
    """The forms of columns whose types are as the table has them."""

    types: dict[str, str]

    def database_type(self, column: str) -> str:
        return self.types[column]

    def is_text(self, column: str) -> bool:
        return self.types[column] == "text"

    def is_written_alike(self, column: str) -> bool:
        return True


def tracked(types: dict[str, str]) -> TrackedTable:
    return TrackedTable(
        relation="wide",
        label="tests.Wide",
        pk="id",
        columns=tuple(types),
        slices=(),
        ignored_fields=(),
        ignored_columns=frozenset(),
        known_columns=frozenset(types),
        forms=Forms(types),
    )


@pytest.fixture
def create(db: None) -> Callable[[dict[str, str]], None]:
    """Create a table with columns of these types, and its triggers."""

    def create(types: dict[str, str]) -> None:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE wide ({columns}, PRIMARY KEY (id))")
            triggers._create(cursor, tracked(types), "public", ["wide"])

    return create


@pytest.fixture
def wide(create: Callable[[dict[str, str]], None]) -> Iterator[None]:
    """A table with a column of each type, and two equal rows."""
    create(TYPES)
    names, values = ", ".join(f'"{name}"' for name in ROW), [*ROW.values()][1:]
    with connection.cursor() as cursor:
        for pk in (1, 2):
            cursor.execute(f"INSERT INTO wide ({names}) VALUES ({', '.join([str(pk), *values])})")
    yield


def changes_of(statement: str) -> list[Any]:
    """Return the columns of each change that a statement writes; None for a change that names none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM cachecontrol_change")
        (last,) = cursor.fetchone()
        cursor.execute(statement)
        cursor.execute("SELECT columns FROM cachecontrol_change WHERE id > %s ORDER BY id", [last or 0])
        return [columns for (columns,) in cursor.fetchall()]


@pytest.mark.parametrize(
    ("column", "value"), [(column, value) for column in OTHER for value in OTHER[column]]
)
def test_an_update_names_the_column_that_it_changes_and_no_other(wide: None, column: str, value: str) -> None:
    assert changes_of(f'UPDATE wide SET "{column}" = {value} WHERE id = 1') == [[written_column(column)]]
    assert changes_of(f'UPDATE wide SET "{column}" = {ROW[column]} WHERE id = 1') == [
        [written_column(column)]
    ]
    assert changes_of(f'UPDATE wide SET "{column}" = {ROW[column]}') == []


def test_a_statement_names_the_columns_of_all_its_rows(wide: None) -> None:
    assert changes_of("UPDATE wide SET i = id, v = CASE id WHEN 1 THEN 'x' ELSE v END") == [["i", "v"]]
    assert changes_of("UPDATE wide SET b = false, n = 5, d = '2020-01-01'") == [["b", "d", "n"]]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO wide (id) VALUES (3)",
        "DELETE FROM wide WHERE id = 1",
        "TRUNCATE wide",
        "UPDATE wide SET id = 9 WHERE id = 1",
        "UPDATE wide SET id = id + 2, v = 'x'",
    ],
)
def test_a_new_or_lost_row_and_a_new_key_count_as_all_columns(wide: None, statement: str) -> None:
    assert changes_of(statement) == [None]


def test_rows_that_exchange_their_keys_change_in_what_differs(wide: None) -> None:
    changes_of("UPDATE wide SET i = 7 WHERE id = 2")
    with transaction.atomic():
        changes_of("ALTER TABLE wide DROP CONSTRAINT wide_pkey")
    assert changes_of("UPDATE wide SET id = 3 - id") == [["i"]]


def test_more_rows_than_a_change_names_count_as_all_columns(wide: None) -> None:
    changes_of("INSERT INTO wide (id) SELECT generate_series(10, 500)")
    assert changes_of("UPDATE wide SET i = 5") == [None]


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [("i", "numeric", "1.00"), ("b", "text", "'yes'"), ("d", "timestamp", "now()")],
)
def test_a_column_of_another_type_than_the_model_has_counts_as_all_columns(
    wide: None, column: str, kind: str, value: str
) -> None:
    """The function for the model's type takes no other, and the whole table moves."""
    changes_of(f"ALTER TABLE wide ALTER {column} TYPE {kind} USING {column}::text::{kind}")
    assert changes_of(f"UPDATE wide SET {column} = {value} WHERE id = 1") == [None]


def test_a_text_of_another_type_is_compared_as_it_is_written(wide: None) -> None:
    changes_of("ALTER TABLE wide ALTER v TYPE numeric USING 1.0")
    assert changes_of("UPDATE wide SET v = 1.00 WHERE id = 1") == [["v"]]


def test_columns_beyond_the_last_bit_count_as_all_columns(create: Callable[[dict[str, str]], None]) -> None:
    create({"id": "integer", **{f"c{n}": "integer" for n in range(70)}})
    changes_of("INSERT INTO wide (id) VALUES (1)")
    assert changes_of("UPDATE wide SET c61 = 1") == [["c61"]]
    assert changes_of("UPDATE wide SET c62 = 1") == [None]
    assert changes_of("UPDATE wide SET c69 = 1, c0 = 1") == [None]
