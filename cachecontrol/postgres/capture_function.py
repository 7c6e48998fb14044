"""The capture function: what the triggers of a tracked table call to write its changes to the change log.

Each table has a function of its own, since its columns stand in the function's text. See ``sql/capture.sql``.

Note [Why rows are compared as images]. A row moved if its watched columns differ as images (``*<>``), not as values: "1.0" and
"1.00" are equal numbers and different texts, and json has no equality at all, so that IS DISTINCT FROM would refuse the writer's
UPDATE.

Note [Why tags have one encoding]. Python measures and hashes the UTF-8 bytes of a text. The function does the same, whatever the
encoding of the database. A text that cannot be converted to UTF-8 (other bytes in an SQL_ASCII database) raises an error there,
and the whole table moves.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from psycopg import sql

from cachecontrol.conf import conf
from cachecontrol.core.tags import LONGEST_VALUE, anything
from cachecontrol.postgres import sql_files
from cachecontrol.postgres.sessions import NOTICE_SETTING

if TYPE_CHECKING:
    from cachecontrol.core.registry import TrackedTable

NOTICE_CODE = "LD001"
"""The SQLSTATE of the notices by which the function tells a writer that it changed a tracked table."""
APPLIED_SETTING = "cachecontrol.applied"
"""The setting in which the function notes the transaction and the table whose replicated changes it has written."""
FUNCTION_PREFIX = "cachecontrol_capture_"
LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL."""


def function_name(tracking: TrackedTable) -> str:
    """Return the name of a table's capture function: if it would be too long, with the MD5 of the name instead."""
    name = FUNCTION_PREFIX + tracking.relation
    if len(name.encode()) <= LONGEST_NAME:
        return name
    return f"{FUNCTION_PREFIX}{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def function_identifier(tracking: TrackedTable, schema: str) -> sql.Identifier:
    """Return the name of a table's capture function, quoted and with its schema."""
    return sql.Identifier(schema, function_name(tracking))


def function_sql(tracking: TrackedTable, schema: str) -> str:
    """Return the statement that creates the capture function of one table. See Note [Why rows are compared as images]."""
    watched = [tracking.pk, *(column for column in tracking.columns if column != tracking.pk)]
    return sql_files.statement(
        "capture.create_function",
        function=function_identifier(tracking, schema),
        schema=sql.Identifier(schema),
        gather=sql_files.fragment("capture.gather"),
        table=tracking.relation,
        whole_table=anything(tracking.relation),
        pk=sql.Identifier(tracking.pk),
        row_tags=_tags(tracking, "row_"),
        both_tags=sql.SQL(", ").join([_tags(tracking, "old_"), _tags(tracking, "new_")]),
        old_image=_columns("old_", watched),
        new_image=_columns("new_", watched),
        limit=conf.rows_per_change,
        applied=APPLIED_SETTING,
        setting=NOTICE_SETTING,
        code=NOTICE_CODE,
    )


def definition(tracking: TrackedTable, schema: str) -> str:
    """Return a digest of the capture function. The database keeps it, so that it shows which code its triggers follow."""
    return hashlib.sha256(function_sql(tracking, schema).encode()).hexdigest()


def _tags(tracking: TrackedTable, row: str) -> sql.Composed:
    """Return the tags of a row, each an expression: its own tag, and those of its slices."""
    key = _value(tracking, row, tracking.pk)
    row_tag = sql_files.fragment("capture.row_tag", prefix=f"{tracking.relation}#", key=key)
    return sql.SQL(", ").join([row_tag, *(_slice_tag(tracking, row, column) for column in tracking.slices)])


def _slice_tag(tracking: TrackedTable, row: str, column: str) -> sql.Composed:
    return sql_files.fragment(
        "capture.slice_tag",
        row=sql.Identifier(row),
        pk=sql.Identifier(tracking.pk),
        prefix=f"{tracking.relation}.{column}=",
        key=_value(tracking, row, column),
        tag_of_null=f"{tracking.relation}.{column}~",
    )


def _value(tracking: TrackedTable, row: str, column: str) -> sql.Composed:
    """Return the value of a column as it is written in tags. See Note [Why tags have one encoding]."""
    value = sql_files.fragment("capture.value", row=sql.Identifier(row), column=sql.Identifier(column))
    if not tracking.forms.is_text(column):
        return value
    return sql_files.fragment("capture.text_value", value=value, longest=LONGEST_VALUE)


def _columns(row: str, columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(row, column) for column in columns)
