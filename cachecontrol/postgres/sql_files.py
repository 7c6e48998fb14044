"""The SQL of the cache: statements by name, from the files in ``sql/``, and their rows by field name.

Each statement in a file begins with the line ``-- name: <name>``. A comment follows, which says what the statement does, what
it returns and why it is written so; it is not sent to the server. Fragments, which other statements contain, have the same form.

Values are parameters: ``%(name)s``. What cannot be a parameter (identifiers, constants of the code, fragments) is a placeholder
in braces: ``{name}``.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from psycopg import sql
from psycopg.rows import class_row

if TYPE_CHECKING:
    from typing import LiteralString

    import psycopg
    from django.db.backends.utils import CursorWrapper

    Cursor = CursorWrapper | psycopg.Cursor[Any]

Row = TypeVar("Row")

FOLDER = Path(__file__).parent / "sql"
_STATEMENT = re.compile(r"^-- name: (\w+)\n(?:--.*\n)+((?:(?!-- name: ).*\n)+)", re.MULTILINE)


def statement(name: str, **parts: Any) -> str:
    """Return the statement ``<file>.<name>``, with its placeholders filled as in `fragment`."""
    return fragment(name, **parts).as_string(None)


def fragment(name: str, **parts: Any) -> sql.Composed:
    """Return the SQL ``<file>.<name>``, to be a part of another statement.

    Args:
        name: for example ``drain.pending``, for the statement ``pending`` in ``sql/drain.sql``.
        parts: what each placeholder stands for. A value that is not a ``psycopg.sql`` object is written as an SQL literal.

    Raises KeyError if there is no such statement or if the value of a placeholder is missing.
    """
    file, _, own_name = name.partition(".")
    return sql.SQL(statements_of(file)[own_name]).format(**parts)


@functools.cache
def statements_of(file: str) -> dict[str, LiteralString]:
    """Return the statements of a file by name, without their comments and their last semicolon."""
    text = (FOLDER / f"{file}.sql").read_text()
    return {
        name: cast("LiteralString", body.strip().removesuffix(";")) for name, body in _STATEMENT.findall(text)
    }


def rows(cursor: Cursor, row_type: type[Row]) -> list[Row]:
    """Return the rows that remain to be fetched, each as a ``row_type``, whose fields have the names of the columns."""
    row_of_values = class_row(row_type)(cast("psycopg.Cursor[Any]", cursor))
    return [row_of_values(values) for values in cursor.fetchall()]


def row(cursor: Cursor, row_type: type[Row]) -> Row | None:
    """Return the only row that the statement gave, as a ``row_type``; None if it gave none."""
    return next(iter(rows(cursor, row_type)), None)
