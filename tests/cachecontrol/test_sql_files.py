"""The SQL of the cache: every statement has a name and a comment and is used, and its values are in their places."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from django.db import connection
from psycopg import sql

from cachecontrol.postgres import sql_files

PACKAGE = Path(sql_files.__file__).resolve().parent.parent
CODE = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
FILES = sorted(path.stem for path in sql_files.FOLDER.glob("*.sql"))


class Pair(NamedTuple):
    first: int
    second: str


@pytest.mark.parametrize("file", FILES)
def test_every_statement_has_a_comment(file: str) -> None:
    """One without a comment would not be found."""
    names = re.findall(r"^-- name: (\w+)$", (sql_files.FOLDER / f"{file}.sql").read_text(), re.MULTILINE)
    assert names
    assert [*sql_files.statements_of(file)] == names


@pytest.mark.parametrize("file", FILES)
def test_neither_comments_nor_the_last_semicolon_are_sent(file: str) -> None:
    for text in sql_files.statements_of(file).values():
        assert text
        assert not text.startswith("--")
        assert not text.endswith(";")


@pytest.mark.parametrize("file", FILES)
def test_every_statement_is_used(file: str) -> None:
    is_prefixed = file in ("capture", "drain")  # in places, the code puts the file before a list of names
    for name in sql_files.statements_of(file):
        assert f'"{file}.{name}"' in CODE or (is_prefixed and f'"{name}"' in CODE), name


def test_a_value_in_braces_is_quoted_and_a_part_is_not() -> None:
    text = sql_files.statement("session.start", setting="it's", state=sql.SQL("'{not a placeholder}'"))
    assert "current_setting('it''s', true)" in text
    assert "'{not a placeholder}' AS state" in text


def test_a_statement_without_its_parts_is_an_error() -> None:
    with pytest.raises(KeyError):
        sql_files.statement("session.start")
    with pytest.raises(KeyError):
        sql_files.statement("session.no_such_statement")


@pytest.mark.django_db
def test_rows_are_read_by_the_names_of_their_columns() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'a' AS second, n AS first FROM generate_series(1, 2) AS n")
        assert sql_files.rows(cursor, Pair) == [Pair(1, "a"), Pair(2, "a")]
        cursor.execute("SELECT 'a' AS second, 1 AS first WHERE false")
        assert sql_files.row(cursor, Pair) is None
        cursor.execute("SELECT 1 AS first, 'a' AS other")
        with pytest.raises(TypeError, match="other"):
            sql_files.rows(cursor, Pair)
