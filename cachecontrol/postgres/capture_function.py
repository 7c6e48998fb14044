"""The capture function: what the triggers of a tracked table call to write its changes to the change log.

Each table has a function of its own, since its columns stand in the function's text. See ``sql/capture.sql``.

Note [Why rows are compared as images]. A row moved if one of its watched columns differs as an image (``*<>``), not as a value:
"1.0" and "1.00" are equal numbers and different texts, and json has no equality at all, so that IS DISTINCT FROM would refuse the
writer's UPDATE. Comparing images takes long, so columns of common types are compared by functions with the same result. The model
names the type, and the column may have another one since. So each of these functions takes no other type, or gives the same
result for it, or raises an error, after which the whole table moves.

Note [Why tags have one encoding]. Python measures and hashes the UTF-8 bytes of a text. The function does the same, whatever the
encoding of the database. A text that cannot be converted to UTF-8 (other bytes in an SQL_ASCII database) raises an error there,
and the whole table moves.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from psycopg import sql

from cachecontrol.conf import conf
from cachecontrol.core.dependency import written_column
from cachecontrol.core.tags import LONGEST_VALUE, anything
from cachecontrol.postgres import sql_files
from cachecontrol.postgres.sessions import NOTICE_SETTING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import LiteralString

    from cachecontrol.core.registry import TrackedTable

NOTICE_CODE = "LD001"
"""The SQLSTATE of the notices by which the function tells a writer that it changed a tracked table."""
APPLIED_SETTING = "cachecontrol.applied"
"""The setting in which the function notes the transaction and the table whose replicated changes it has written."""
LAST_BIT = 62
"""The last bit of a mask of columns that is not the sign of a ``bigint``."""
_COMPARISONS: dict[str, tuple[str, LiteralString]] = {
    "varchar": ("text_differs", ""),
    "text": ("text_differs", ""),
    "numeric": ("number_differs", ""),
    **dict.fromkeys(("smallint", "integer", "bigint"), ("value_differs", "int8ne")),
    "boolean": ("value_differs", "boolne"),
    "uuid": ("value_differs", "uuid_ne"),
    "date": ("value_differs", "date_ne"),
}
"""For types whose images can be compared faster: the fragment, and the function for its placeholder."""
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
    in_tags = (tracking.pk, *tracking.slices)
    old = {column: sql.Identifier("old_", column) for column in in_tags}
    new = {column: sql.Identifier("new_", column) for column in in_tags}
    old_of_pair = {column: sql.Identifier(f"old_{n}") for n, column in enumerate(in_tags)}
    new_of_pair = {column: sql.Identifier(f"new_{n}") for n, column in enumerate(in_tags)}
    bits = _bits(tracking)
    return sql_files.statement(
        "capture.create_function",
        function=function_identifier(tracking, schema),
        schema=sql.Identifier(schema),
        gather=sql_files.fragment("capture.gather"),
        table=tracking.relation,
        whole_table=anything(tracking.relation),
        pk=sql.Identifier(tracking.pk),
        new_tags=_tags(tracking, new),
        old_tags=_tags(tracking, old),
        both_tags=sql.SQL(", ").join([_tags(tracking, old_of_pair), _tags(tracking, new_of_pair)]),
        pairs=sql.SQL(", ").join([*_aliased(old, old_of_pair), *_aliased(new, new_of_pair)]),
        mask=_mask(tracking, bits),
        names=sql.SQL(", ").join(
            sql_files.fragment("capture.changed_column", bit=1 << bit, column=written_column(column))
            for column, bit in sorted(bits.items(), key=lambda item: written_column(item[0]))
            if bit
        ),
        limit=conf.rows_per_change,
        applied=APPLIED_SETTING,
        setting=NOTICE_SETTING,
        code=NOTICE_CODE,
    )


def definition(tracking: TrackedTable, schema: str) -> str:
    """Return a digest of the capture function. The database keeps it, so that it shows which code its triggers follow."""
    return hashlib.sha256(function_sql(tracking, schema).encode()).hexdigest()


def _tags(tracking: TrackedTable, columns: Mapping[str, sql.Identifier]) -> sql.Composed:
    """Return the tags of a row, each an expression: its own tag, and those of its slices. ``columns`` has what it is made of."""
    pk = columns[tracking.pk]
    key = _value(tracking, tracking.pk, pk)
    row_tag = sql_files.fragment("capture.row_tag", prefix=f"{tracking.relation}#", key=key)
    slices = (_slice_tag(tracking, column, columns[column], pk) for column in tracking.slices)
    return sql.SQL(", ").join([row_tag, *slices])


def _slice_tag(
    tracking: TrackedTable, column: str, identifier: sql.Identifier, pk: sql.Identifier
) -> sql.Composed:
    return sql_files.fragment(
        "capture.slice_tag",
        pk=pk,
        prefix=f"{tracking.relation}.{column}=",
        key=_value(tracking, column, identifier),
        tag_of_null=f"{tracking.relation}.{column}~",
    )


def _value(tracking: TrackedTable, column: str, identifier: sql.Identifier) -> sql.Composed:
    """Return the value of a column as it is written in tags. See Note [Why tags have one encoding]."""
    value = sql_files.fragment("capture.value", column=identifier)
    if not tracking.forms.is_text(column):
        return value
    return sql_files.fragment("capture.text_value", value=value, longest=LONGEST_VALUE)


def _aliased(
    columns: Mapping[str, sql.Identifier], pairs: Mapping[str, sql.Identifier]
) -> Iterator[sql.Composed]:
    """Yield the columns of a row, each with its name in the pairs of rows."""
    for column, identifier in columns.items():
        yield sql.SQL("{} AS {}").format(identifier, pairs[column])


def _bits(tracking: TrackedTable) -> dict[str, int]:
    """Return the number of the bit of each watched column. Bit 0 stands for all columns, and for those beyond the last bit."""
    watched = [column for column in tracking.columns if column != tracking.pk]
    return {column: bit if bit <= LAST_BIT else 0 for bit, column in enumerate(watched, start=1)}


def _mask(tracking: TrackedTable, bits: Mapping[str, int]) -> sql.Composed:
    """Return the mask of a pair of rows: the bits of the columns that differ. It is 0 for a row that did not move."""
    is_another_row = sql_files.fragment(
        "capture.is_another_row", pk=sql.Identifier(tracking.pk), differs=_differs(tracking, tracking.pk)
    )
    differing = [(is_another_row, 0), *((_differs(tracking, column), bit) for column, bit in bits.items())]
    return sql.SQL(" | ").join(
        sql_files.fragment("capture.bit", differs=differs, bit=1 << bit) for differs, bit in differing
    )


def _differs(tracking: TrackedTable, column: str) -> sql.Composed:
    """Return the condition that a column differs as an image. See Note [Why rows are compared as images]."""
    database_type = tracking.forms.database_type(column).partition("(")[0]
    name, function = _COMPARISONS.get(database_type, ("image_differs", ""))
    return sql_files.fragment(
        f"capture.{name}", column=sql.Identifier(column), differs_function=sql.SQL(function)
    )
